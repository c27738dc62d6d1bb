import { randomBytes } from 'node:crypto';
import { dictionary } from '@zxcvbn-ts/language-common';
import argon2 from 'argon2';
import pLimit from 'p-limit';
import { ApiError } from '../platform/errors.js';

/** OWASP's recommendation for argon2id: 19 MiB of memory, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const CONCURRENT_HASHES = 2;
const WAITING_HASHES = 100;

const limit = pLimit(CONCURRENT_HASHES);

/** Hashing takes the processor and 19 MiB each: few run at once, some wait, the rest are told to come back. */
function queued<T>(work: () => Promise<T>): Promise<T> {
  if (limit.pendingCount >= WAITING_HASHES) throw new ApiError('SERVICE_UNAVAILABLE');
  return limit(work);
}

/**
 * Hashes a password (argon2id, PHC string).
 * @throws {ApiError} SERVICE_UNAVAILABLE when too many wait already
 */
export async function hashPassword(password: string): Promise<string> {
  return queued(() => argon2.hash(password, PARAMETERS));
}

/** Passwords everybody tries first, most of them from leaks. */
const COMMON = new Set(dictionary['passwords-common']);

/**
 * Hashes a password somebody chose.
 * @throws {ApiError} PASSWORD_TOO_COMMON, SERVICE_UNAVAILABLE when too many wait already
 */
export async function hashNewPassword(password: string): Promise<string> {
  if (COMMON.has(password.toLowerCase())) throw new ApiError('PASSWORD_TOO_COMMON');
  return hashPassword(password);
}

/** Stands in for the hash of an account that does not exist, so that looking costs the same. */
const dummyHash = argon2.hash(randomBytes(32), PARAMETERS);

/**
 * Whether the password is the one hashed; for an unknown account (null) it is not, after the same work.
 * @throws {ApiError} SERVICE_UNAVAILABLE when too many wait already
 */
export async function verifyPassword(hash: string | null, password: string): Promise<boolean> {
  const expected = hash ?? (await dummyHash);
  const matches = await queued(() => argon2.verify(expected, password));
  return matches && hash !== null;
}
