import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { toNetwork } from '../../../auth/limits/address.js';
import { getPasswords } from '../../../auth/passwords.js';
import { ProofOutcomeSchema, toProofError } from '../../../auth/second-factor/outcomes.js';
import {
  createRecoveryCodes,
  createTotpSecret,
  findTotpStep,
  hashRecoveryCode,
  toProof,
  toTotpUri,
} from '../../../auth/second-factor/totp.js';
import { type AdminSessionClaims, AdminSessionClaimsSchema } from '../../../auth/tokens/admin-tokens.js';
import { AnyResult, type Database } from '../../../platform/database/client/database.js';
import { ApiError } from '../../../platform/errors.js';
import { toAdminSession } from './login.js';
import type { ChangePasswordSchema, RemoveSecondFactorSchema } from './session-schemas.js';

const KnownAdminSchema = Type.Object({
  allowed: Type.Literal(true),
  username: Type.String(),
  password_hash: Type.String(),
  secret: Type.Union([Type.String(), Type.Null()]),
  confirmed: Type.Boolean(),
});
const BeginProofSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  KnownAdminSchema,
]);

/** Counts an attempt and reads the calling admin. @throws {ApiError} RATE_LIMITED */
async function beginProof(database: Database, request: FastifyRequest): Promise<Static<typeof KnownAdminSchema>> {
  const known = await database.call('begin_admin_proof', { p_actor: getActor(request) }, BeginProofSchema);
  if (known.allowed) return known;
  throw new ApiError('RATE_LIMITED', { extras: { retry_after: known.retry_after } });
}

/** Proves the calling admin by the password. @throws {ApiError} INVALID_CREDENTIALS; RATE_LIMITED before any hashing */
async function provePassword(database: Database, request: FastifyRequest, password: string) {
  const known = await beginProof(database, request);
  if (await getPasswords(request.server).verify(known.password_hash, password, toNetwork(request))) return known;
  throw new ApiError('INVALID_CREDENTIALS');
}

/**
 * Changes the calling admin's password, which ends all their sessions.
 * @returns the session that takes their place
 * @throws {ApiError} INVALID_CREDENTIALS if the current password is wrong, RATE_LIMITED, PASSWORD_TOO_COMMON
 */
export async function changePassword(
  database: Database,
  request: FastifyRequest,
  { current_password, new_password }: Static<typeof ChangePasswordSchema>,
): Promise<AdminSessionClaims> {
  const { username, password_hash: p_verified_hash } = await provePassword(database, request, current_password);
  const change = {
    p_actor: getActor(request),
    p_password_hash: await getPasswords(request.server).hashNew(new_password, [username], toNetwork(request)),
    p_verified_hash,
    p_session: toAdminSession(request),
  };
  return database.call('change_admin_password', change, AdminSessionClaimsSchema);
}

/**
 * Begins to set up a second factor; it asks nobody for a code before it was confirmed.
 * @throws {ApiError} INVALID_CREDENTIALS, RATE_LIMITED
 * @throws {DatabaseError} SECOND_FACTOR_EXISTS
 */
export async function beginSecondFactor(database: Database, request: FastifyRequest, password: string) {
  const { username } = await provePassword(database, request, password);
  const secret = createTotpSecret();
  await database.call('begin_second_factor', { p_actor: getActor(request), p_secret: secret }, AnyResult);
  return { secret, uri: toTotpUri(secret, username) };
}

/**
 * Turns the second factor on by a first code of it, which ends every session.
 * @returns the session that takes their place, and the recovery codes, which are kept nowhere
 * @throws {ApiError} SECOND_FACTOR_NOT_FOUND, INVALID_SECOND_FACTOR, RATE_LIMITED
 */
export async function confirmSecondFactor(database: Database, request: FastifyRequest, code: string) {
  const { secret, confirmed } = await beginProof(database, request);
  if (secret === null || confirmed) throw new ApiError('SECOND_FACTOR_NOT_FOUND');
  const step = findTotpStep(secret, code);
  if (step === undefined) throw new ApiError('INVALID_SECOND_FACTOR');
  const recoveryCodes = createRecoveryCodes();
  const confirmation = {
    p_actor: getActor(request),
    p_secret: secret,
    p_step: step,
    p_recovery_hashes: recoveryCodes.map(hashRecoveryCode),
    p_session: toAdminSession(request),
  };
  const session = await database.call('confirm_second_factor', confirmation, AdminSessionClaimsSchema);
  return { session, recoveryCodes };
}

/**
 * Turns the second factor off, against the password and one more code.
 * @throws {ApiError} INVALID_CREDENTIALS, SECOND_FACTOR_NOT_FOUND, INVALID_SECOND_FACTOR, RATE_LIMITED
 */
export async function removeSecondFactor(
  database: Database,
  request: FastifyRequest,
  { current_password, totp }: Static<typeof RemoveSecondFactorSchema>,
): Promise<void> {
  const { secret, confirmed } = await provePassword(database, request, current_password);
  if (secret === null || !confirmed) throw new ApiError('SECOND_FACTOR_NOT_FOUND');
  const removal = { p_actor: getActor(request), p_proof: toProof(secret, totp) };
  const result = await database.call('remove_second_factor', removal, ProofOutcomeSchema);
  if (result.outcome !== 'proved') throw toProofError(result);
}
