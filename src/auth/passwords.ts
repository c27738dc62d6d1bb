import { Type } from '@sinclair/typebox';
import argon2 from 'argon2';
import pLimit from 'p-limit';
import { ApiError } from '../platform/errors.js';

/** A password somebody chooses: rules about its length, none about its characters; it is never truncated. */
export const PasswordSchema = Type.String({ minLength: 8, maxLength: 256 });

/** A password as somebody typed it, to be compared with the one that is kept. */
export const TypedPasswordSchema = Type.String({ minLength: 1, maxLength: 256 });

/** OWASP's recommendation for argon2id: 19 MiB of memory, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const CONCURRENT_HASHES = 2;
const WAITING_HASHES = 100;

/**
 * Stands in for the hash of an account that does not exist, so that verifying costs the same. It was made of random
 * bytes nobody kept, with the parameters of every other hash.
 */
export const DUMMY_HASH =
  '$argon2id$v=19$m=19456,t=2,p=1$Et/l5dMIJ/OMHbpj7Ho4ZA$YTPcnmQN774hxJFj99q+HykPX/EDodVLsoi17Ln2IxY';

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

async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return new Set(dictionary['passwords-common']);
}

let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/** Returns whether everybody tries this password first; most such are from leaks. */
async function isCommon(password: string): Promise<boolean> {
  // Loading the list takes longer than hashing: processes that never see a new password do without.
  commonPasswords ??= loadCommonPasswords();
  return (await commonPasswords).has(password.toLowerCase());
}

/**
 * Hashes a password somebody chose.
 * @throws {ApiError} PASSWORD_TOO_COMMON, SERVICE_UNAVAILABLE when too many wait already
 */
export async function hashNewPassword(password: string): Promise<string> {
  if (await isCommon(password)) throw new ApiError('PASSWORD_TOO_COMMON');
  return hashPassword(password);
}

/**
 * Returns whether the password is the one hashed; for an unknown account (null) it is not, after the same work.
 * @throws {ApiError} SERVICE_UNAVAILABLE when too many wait already
 */
export async function verifyPassword(hash: string | null, password: string): Promise<boolean> {
  const matches = await queued(() => argon2.verify(hash ?? DUMMY_HASH, password));
  return matches && hash !== null;
}
