import { Type } from '@sinclair/typebox';
import argon2 from 'argon2';
import { ApiError } from '../platform/errors.js';
import { createFairQueue } from './fair-queue.js';

/** A password somebody chooses: rules about its length, none about its characters; it is never truncated. */
export const PasswordSchema = Type.String({ minLength: 8, maxLength: 256 });

/** A password as somebody typed it, to be compared with the one that is kept. */
export const TypedPasswordSchema = Type.String({ minLength: 1, maxLength: 256 });

/** OWASP's recommendation for argon2id: 19 MiB of memory, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** Hashing takes the processor and 19 MiB each: few run at once, some wait, the rest are told to come back. */
const HASHING = { running: 2, waiting: 128, waitingOfOne: 64 } as const;
/** Whose turn it is where no request stands behind the work, as in a command. */
const NO_NETWORK = '';

/**
 * Stands in for the hash of an account that does not exist, so that verifying costs the same. It was made of random
 * bytes nobody kept, with the parameters of every other hash.
 */
export const DUMMY_HASH =
  '$argon2id$v=19$m=19456,t=2,p=1$Et/l5dMIJ/OMHbpj7Ho4ZA$YTPcnmQN774hxJFj99q+HykPX/EDodVLsoi17Ln2IxY';

const inTurn = createFairQueue(HASHING);

/**
 * Hashes a password (argon2id, PHC string).
 * @param network who asks, as `toNetwork` tells it: networks take turns, so that one cannot keep the others waiting
 * @throws {ApiError} RATE_LIMITED where too many of that network wait already, SERVICE_UNAVAILABLE where too many do
 */
export async function hashPassword(password: string, network = NO_NETWORK): Promise<string> {
  return inTurn(network, () => argon2.hash(password, PARAMETERS));
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
 * @throws {ApiError} PASSWORD_TOO_COMMON, and what {@link hashPassword} does
 */
export async function hashNewPassword(password: string, network = NO_NETWORK): Promise<string> {
  if (await isCommon(password)) throw new ApiError('PASSWORD_TOO_COMMON');
  return hashPassword(password, network);
}

/**
 * Returns whether the password is the one hashed; for an unknown account (null) it is not, after the same work.
 * @throws {ApiError} what {@link hashPassword} does
 */
export async function verifyPassword(hash: string | null, password: string, network = NO_NETWORK): Promise<boolean> {
  const matches = await inTurn(network, () => argon2.verify(hash ?? DUMMY_HASH, password));
  return matches && hash !== null;
}
