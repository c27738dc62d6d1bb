import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { getUser } from '../guards/user-guard.js';
import { toNetwork } from '../limits/address.js';
import type { AccountNotices } from '../notices.js';
import { getPasswords } from '../passwords.js';
import { ProofOutcomeSchema, toProofError } from './outcomes.js';
import type { OwnProofSchema } from './schemas.js';
import { createRecoveryCodes, createTotpSecret, findTotpStep, hashRecoveryCode, toTotpUri } from './totp.js';
import { proveWith, type UserFactor, UserFactorSchema } from './user-proof.js';

/** Dependencies of a person's own second factor. */
export interface OwnFactorOptions {
  readonly database: Database;
  readonly notices: AccountNotices;
}

const KnownCallerSchema = Type.Object({
  allowed: Type.Literal(true),
  email: Type.String(),
  password_hash: Type.Union([Type.String(), Type.Null()]),
  factor: Type.Union([UserFactorSchema, Type.Null()]),
});
type KnownCaller = Static<typeof KnownCallerSchema>;
export const BeginOwnProofSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  KnownCallerSchema,
]);

/** Counts an attempt and reads the caller. @throws {ApiError} RATE_LIMITED */
async function beginProof({ database }: OwnFactorOptions, request: FastifyRequest): Promise<KnownCaller> {
  const known = await database.call('begin_own_proof', { p_caller: getUser(request) }, BeginOwnProofSchema);
  if (known.allowed) return known;
  throw new ApiError('RATE_LIMITED', { extras: { retry_after: known.retry_after } });
}

/** Returns the hash a password was verified against, for SQL to compare; nothing without one. @throws {ApiError} INVALID_CREDENTIALS */
async function verifyPassword(
  request: FastifyRequest,
  { password_hash }: KnownCaller,
  password: string | undefined,
): Promise<{ p_verified_hash?: string }> {
  if (password === undefined) return {};
  const matches = await getPasswords(request.server).verify(password_hash, password, toNetwork(request));
  if (matches && password_hash !== null) return { p_verified_hash: password_hash };
  throw new ApiError('INVALID_CREDENTIALS', { sentence: 'The current password is wrong' });
}

/**
 * Begins to set up a second factor; it asks nobody for a code before it was confirmed.
 * @throws {ApiError} INVALID_CREDENTIALS, RATE_LIMITED
 * @throws {DatabaseError} PROOF_REQUIRED for an API key, or without the password in a session that was not proved within
 *   5 minutes; SECOND_FACTOR_EXISTS
 */
export async function beginOwnFactor(options: OwnFactorOptions, request: FastifyRequest, password: string | undefined) {
  const known = await beginProof(options, request);
  const verified = await verifyPassword(request, known, password);
  const secret = createTotpSecret();
  const factor = { p_caller: getUser(request), p_secret: secret, ...verified };
  await options.database.call('begin_user_second_factor', factor, AnyResult);
  return { secret, uri: toTotpUri(secret, known.email) };
}

/**
 * Turns the second factor on by a first code of it, which ends every other session.
 * @returns the recovery codes, which are kept nowhere
 * @throws {ApiError} SECOND_FACTOR_NOT_FOUND, INVALID_SECOND_FACTOR, RATE_LIMITED
 */
export async function confirmOwnFactor(
  options: OwnFactorOptions,
  request: FastifyRequest,
  code: string,
): Promise<string[]> {
  const { factor } = await beginProof(options, request);
  if (factor === null || factor.confirmed) throw new ApiError('SECOND_FACTOR_NOT_FOUND');
  const step = findTotpStep(factor.secret, code);
  if (step === undefined) throw new ApiError('INVALID_SECOND_FACTOR');
  const codes = createRecoveryCodes();
  const confirmation = {
    p_caller: getUser(request),
    p_factor_id: factor.id,
    p_step: step,
    p_recovery_hashes: codes.map(hashRecoveryCode),
  };
  await options.notices.post('second_factor_on', (notice) =>
    options.database.call('confirm_user_second_factor', { ...confirmation, ...notice }, AnyResult),
  );
  return codes;
}

/** Reads the caller and checks the password they sent with a code. @throws {ApiError} as {@link removeOwnFactor} */
async function beginChange(
  options: OwnFactorOptions,
  request: FastifyRequest,
  password: string | undefined,
): Promise<{ factor: UserFactor; change: object & { p_caller: ReturnType<typeof getUser> } }> {
  const known = await beginProof(options, request);
  if (password === undefined && known.password_hash !== null) {
    throw new ApiError('INVALID_CREDENTIALS', { sentence: 'current_password is needed' });
  }
  const verified = await verifyPassword(request, known, password);
  if (known.factor?.confirmed !== true) throw new ApiError('SECOND_FACTOR_NOT_FOUND');
  return { factor: known.factor, change: { p_caller: getUser(request), ...verified } };
}

/**
 * Replaces the recovery codes, against all the owner can show; those there were are good no longer.
 * @returns the new ones, which are kept nowhere
 * @throws {ApiError} as {@link removeOwnFactor}
 */
export async function renewRecoveryCodes(
  options: OwnFactorOptions,
  request: FastifyRequest,
  { totp, current_password }: Static<typeof OwnProofSchema>,
): Promise<string[]> {
  const { factor, change } = await beginChange(options, request, current_password);
  const codes = createRecoveryCodes();
  const renewal = { ...change, p_recovery_hashes: codes.map(hashRecoveryCode) };
  const result = await options.notices.post('new_recovery_codes', (notice) =>
    proveWith(options.notices, factor, totp, (p_proof) =>
      options.database.call('renew_recovery_codes', { ...renewal, ...notice, p_proof }, ProofOutcomeSchema),
    ),
  );
  if (result.outcome !== 'proved') throw toProofError(result);
  return codes;
}

/**
 * Turns the second factor off, against a code of it and the password.
 * @throws {ApiError} INVALID_CREDENTIALS, SECOND_FACTOR_NOT_FOUND, INVALID_SECOND_FACTOR, RATE_LIMITED
 * @throws {DatabaseError} PROOF_REQUIRED for an API key, and for an account without a password whose session was not
 *   proved within 5 minutes
 */
export async function removeOwnFactor(
  options: OwnFactorOptions,
  request: FastifyRequest,
  { totp, current_password }: Static<typeof OwnProofSchema>,
): Promise<void> {
  const { factor, change } = await beginChange(options, request, current_password);
  const result = await options.notices.post('second_factor_off', (notice) =>
    proveWith(options.notices, factor, totp, (p_proof) =>
      options.database.call('remove_user_second_factor', { ...change, ...notice, p_proof }, ProofOutcomeSchema),
    ),
  );
  if (result.outcome !== 'proved') throw toProofError(result);
}
