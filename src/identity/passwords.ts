import argon2 from 'argon2';

/** OWASP's recommendation for argon2id: 19 MiB of memory, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashes a password (argon2id, PHC string). */
export function hashPassword(password: string): Promise<string> {
  return argon2.hash(password, PARAMETERS);
}
