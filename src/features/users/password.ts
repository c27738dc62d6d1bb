import { type Static, Type } from '@sinclair/typebox';
import type { UserIdentity } from '../../auth/guards/user-identity.js';
import { hashNewPassword, verifyPassword } from '../../auth/passwords.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import type { ChangePasswordSchema } from './schemas.js';

const attemptOf = shapeOf(
  Type.Union([
    Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
    Type.Object({ allowed: Type.Literal(true), password_hash: Type.Union([Type.String(), Type.Null()]) }),
  ]),
);

/**
 * Changes the caller's password, or sets the first one of an account that has none. Every other session ends.
 * @throws {ApiError} RATE_LIMITED before any hashing; INVALID_CREDENTIALS where the current password is missing or
 *   wrong; PASSWORD_TOO_COMMON
 * @throws {DatabaseFailure} INVALID_CREDENTIALS where the password was changed meanwhile
 */
export async function changePassword(
  database: DatabaseClient,
  caller: UserIdentity,
  { current_password, new_password }: Static<typeof ChangePasswordSchema>,
): Promise<void> {
  const attempt = attemptOf(await callDatabase(() => database.rpc('begin_password_change', { p_caller: caller })));
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  const { password_hash } = attempt;
  if (password_hash !== null) await assertMatches(password_hash, current_password);
  const change = {
    p_caller: caller,
    p_password_hash: await hashNewPassword(new_password),
    ...(password_hash !== null && { p_verified_hash: password_hash }),
  };
  await callDatabase(() => database.rpc('change_password', change));
}

async function assertMatches(hash: string, password: string | undefined): Promise<void> {
  if (password === undefined) {
    throw new ApiError('INVALID_CREDENTIALS', { sentence: 'current_password is needed' });
  }
  if (!(await verifyPassword(hash, password))) {
    throw new ApiError('INVALID_CREDENTIALS', { sentence: 'The current password is wrong' });
  }
}
