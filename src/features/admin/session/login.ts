import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../../auth/guards/admin-guard.js';
import { toNetwork, toRateLimitKey } from '../../../auth/limits/address.js';
import type { Limiter } from '../../../auth/limits/limiter.js';
import { WRONG_PASSWORDS } from '../../../auth/limits/policies.js';
import { hashNewPassword, verifyPassword } from '../../../auth/passwords.js';
import { TokenVersionSchema } from '../../../auth/tokens/claims.js';
import { AnyResult, type Database } from '../../../platform/database/client/database.js';
import { ApiError } from '../../../platform/errors.js';

const BeginAdminLoginSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({
    allowed: Type.Literal(true),
    id: Type.Union([Type.String(), Type.Null()]),
    version: Type.Union([Type.Integer(), Type.Null()]),
    password_hash: Type.Union([Type.String(), Type.Null()]),
  }),
]);
const AdminCredentialsSchema = Type.Object({ username: Type.String(), password_hash: Type.String() });

/**
 * Verifies an admin's name and password; an unknown name takes as long as a wrong password.
 * @throws {ApiError} INVALID_CREDENTIALS; RATE_LIMITED, before any hashing
 */
export async function logIn(
  database: Database,
  credentials: { readonly username: string; readonly password: string },
  request: FastifyRequest,
): Promise<{ id: string; version: number }> {
  const subject = { p_username: credentials.username, p_address: toRateLimitKey(request) };
  const attempt = await database.call('begin_admin_login', subject, BeginAdminLoginSchema);
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  const matches = await verifyPassword(attempt.password_hash, credentials.password, toNetwork(request));
  if (!matches || attempt.id === null || attempt.version === null) throw new ApiError('INVALID_CREDENTIALS');
  await database.call('finish_admin_login', subject, AnyResult);
  return { id: attempt.id, version: attempt.version };
}

/**
 * Changes the calling admin's password, which ends all their tokens.
 * @returns the version that new tokens must have
 * @throws {ApiError} INVALID_CREDENTIALS if the current password is wrong, RATE_LIMITED after some of that;
 *   PASSWORD_TOO_COMMON
 */
export async function changePassword(
  database: Database,
  limiter: Limiter,
  actor: Actor,
  passwords: { readonly current_password: string; readonly new_password: string },
  network: string,
): Promise<number> {
  const credentials = await database.call('admin_credentials', { p_actor: actor }, AdminCredentialsSchema);
  await limiter.attempt(WRONG_PASSWORDS, `admin:${actor.id}`, async () => {
    const matches = await verifyPassword(credentials.password_hash, passwords.current_password, network);
    if (!matches) throw new ApiError('INVALID_CREDENTIALS');
  });
  const hash = await hashNewPassword(passwords.new_password, network);
  return database.call('change_admin_password', { p_actor: actor, p_password_hash: hash }, TokenVersionSchema);
}
