import { EnvironmentSchema } from './environment-schema.js';

/** Environment variables as they were set. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Names of other servers' environments, and ours that they stand in for where ours is not set. */
const ALIASES: Readonly<Record<string, keyof typeof EnvironmentSchema.properties>> = {
  API_URL: 'PUBLIC_URL',
  SUPABASE_ANON_KEY: 'SUPABASE_PUBLISHABLE_KEY',
  SUPABASE_SERVICE_ROLE_KEY: 'SUPABASE_SECRET_KEY',
  SUPABASE_SERVICE_KEY: 'SUPABASE_SECRET_KEY',
  SERVICE_ROLE_KEY: 'SUPABASE_SECRET_KEY',
};

/** Names of other servers' environments that mean something else here, or nothing. */
const ANSWERS: Readonly<Record<string, string>> = {
  API_KEY: 'API_KEY is not read: the key of the model provider goes into OPENROUTER_API_KEY',
  STRIPE_PUBLISHABLE_KEY: 'STRIPE_PUBLISHABLE_KEY is not needed: people pay on pages of Stripe',
};

const SHORTEST_NAME = 5;

/** Adds what is set under other servers' names. */
export function resolveAliases(variables: Variables): Variables {
  const resolved = { ...variables };
  for (const [alias, name] of Object.entries(ALIASES)) {
    if (!resolved[name] && variables[alias]) resolved[name] = variables[alias];
  }
  return resolved;
}

/** Counts the letters to insert, leave out, replace or swap with the next to make one text the other. */
function countEdits(one: string, other: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= one.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      const choices = [
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
        ...(row > 1 && column > 1 && isSwapped ? [(before[column - 2] ?? 0) + 1] : []),
      ];
      next.push(Math.min(...choices));
    }
    [before, last] = [last, next];
  }
  return last[other.length] ?? 0;
}

/** Returns our name that an unknown one is most likely meant for; undefined where none is close. */
function findMeant(name: string, known: readonly string[]): string | undefined {
  if (name.length < SHORTEST_NAME) return undefined;
  return known.find((ours) => ours.length >= SHORTEST_NAME && countEdits(name, ours) <= (ours.length < 8 ? 1 : 2));
}

/**
 * Returns what to tell the operator about variables that are set and not read: where their like goes, and names that
 * look like a typing error. Never a value.
 */
export function listVariableNotices(variables: Variables): string[] {
  const known = Object.keys(EnvironmentSchema.properties);
  const set = Object.keys(variables).filter((name) => variables[name] && !known.includes(name));
  return set.flatMap((name) => {
    if (Object.hasOwn(ALIASES, name)) return [];
    const answer = Object.hasOwn(ANSWERS, name) ? ANSWERS[name] : undefined;
    if (answer !== undefined) return [answer];
    const meant = findMeant(name, known);
    return meant === undefined ? [] : [`${name} is not read; is ${meant} meant?`];
  });
}
