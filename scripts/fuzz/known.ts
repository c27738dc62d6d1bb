import { randomUUID } from 'node:crypto';

/**
 * Stands for what is known by the time a request is sent, such as an id or a password: requests are made up before, and sent
 * again by others when they are made smaller.
 */
export type Placeholder = `__${string}__`;

const PLACEHOLDER = /__([a-z_]+?)__/g;
const DAY_MS = 86_400_000;

/** What is made anew each time it is asked for. */
const FRESH: Readonly<Record<string, () => string>> = {
  fresh_id: () => randomUUID(),
  fresh_email: () => `${randomUUID()}@example.com`,
  fresh_name: () => `n${randomUUID().replaceAll('-', '').slice(0, 20)}`,
  fresh_password: () => randomUUID(),
  ten_days_ago: () => new Date(Date.now() - 10 * DAY_MS).toISOString().slice(0, 10),
  today: () => new Date().toISOString().slice(0, 10),
};

/** Replaces placeholders in a text by what they stand for; those of what is not known stay. */
export function fillIn(text: string, known: ReadonlyMap<string, string>): string {
  return text.replaceAll(PLACEHOLDER, (whole, name: string) => known.get(name) ?? FRESH[name]?.() ?? whole);
}
