import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 90_000;

/** Asks again and again until there is an answer, and fails when none comes. */
export async function until<T>(what: string, probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await delay(20)) {
    const found = await probe();
    if (found !== undefined) return found;
  }
  throw new Error(`waited in vain until ${what}`);
}

/** Waits until a condition holds, and fails when it never does. */
export async function untilTrue(condition: () => Promise<boolean> | boolean): Promise<void> {
  await until('a condition holds', async () => (await condition()) || undefined);
}
