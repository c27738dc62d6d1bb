import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { toNetwork, toRateLimitKey } from '../../../auth/limits/address.js';
import { getPasswords } from '../../../auth/passwords.js';
import { RefusedProofSchema, toProofError } from '../../../auth/second-factor/outcomes.js';
import { toProof } from '../../../auth/second-factor/totp.js';
import {
  ADMIN_SESSION_SECONDS,
  type AdminSessionClaims,
  AdminSessionClaimsSchema,
} from '../../../auth/tokens/admin-tokens.js';
import { AnyResult, type Database } from '../../../platform/database/client/database.js';
import { ApiError } from '../../../platform/errors.js';
import type { AdminLoginSchema } from './session-schemas.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);
const BeginLoginSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({
    allowed: Type.Literal(true),
    id: NullableText,
    password_hash: NullableText,
    secret: NullableText,
  }),
]);
const FinishLoginSchema = Type.Union([
  Type.Composite([Type.Object({ outcome: Type.Literal('opened') }), AdminSessionClaimsSchema]),
  Type.Object({ outcome: Type.Literal('refused') }),
  Type.Object({ outcome: Type.Literal('second_factor_required') }),
  RefusedProofSchema,
]);

/** Returns the session a request opens, as SQL's functions take it, and what the audit log tells of it. */
export function toAdminSession(request: FastifyRequest) {
  return {
    lifetime_seconds: ADMIN_SESSION_SECONDS,
    user_agent: request.headers['user-agent'] ?? null,
    address: request.ip,
    request_id: request.id,
  };
}

/**
 * Logs an admin in; an unknown name takes as long as a wrong password, and no code is looked at before the password.
 * @throws {ApiError} INVALID_CREDENTIALS; RATE_LIMITED, before any hashing; SECOND_FACTOR_REQUIRED and
 *   INVALID_SECOND_FACTOR after the right password
 */
export async function logIn(
  database: Database,
  request: FastifyRequest,
  { username, password, totp }: Static<typeof AdminLoginSchema>,
): Promise<AdminSessionClaims> {
  const p_address = toRateLimitKey(request);
  const p_session = toAdminSession(request);
  const attempt = await database.call('begin_admin_login', { p_username: username, p_address }, BeginLoginSchema);
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  const { id: p_id, password_hash: p_password_hash, secret } = attempt;
  const matches = await getPasswords(request.server).verify(p_password_hash, password, toNetwork(request));
  if (!matches || p_id === null || p_password_hash === null) {
    await database.call('record_failed_admin_login', { p_username: username, p_session }, AnyResult);
    throw new ApiError('INVALID_CREDENTIALS');
  }
  const proof = secret !== null && totp !== undefined && { p_proof: toProof(secret, totp) };
  const finish = { p_id, p_password_hash, p_address, p_session, ...proof };
  const result = await database.call('finish_admin_login', finish, FinishLoginSchema);
  if (result.outcome === 'opened') return result;
  if (result.outcome === 'refused') throw new ApiError('INVALID_CREDENTIALS');
  throw result.outcome === 'second_factor_required' ? new ApiError('SECOND_FACTOR_REQUIRED') : toProofError(result);
}
