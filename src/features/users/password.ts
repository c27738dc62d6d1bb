import { type Static, Type } from '@sinclair/typebox';
import type { AccountNotices } from '../../auth/notices.js';
import type { Passwords } from '../../auth/passwords.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { ChangedPasswordSchema, type ChangePasswordSchema } from './schemas.js';

const BeginPasswordChangeSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({
    allowed: Type.Literal(true),
    email: Type.String(),
    password_hash: Type.Union([Type.String(), Type.Null()]),
  }),
]);

const ChangedSchema = Type.Pick(ChangedPasswordSchema, ['api_keys']);

/** Dependencies of changing a password. */
interface PasswordServices {
  readonly database: Database;
  readonly passwords: Passwords;
  readonly notices: AccountNotices;
}

/**
 * Changes the caller's password, or sets the first one of an account that has none. Every other session ends,
 * and every API key where that is wished.
 * @returns the keys that go on
 * @throws {ApiError} RATE_LIMITED before any hashing; INVALID_CREDENTIALS where the current password is missing or
 *   wrong; PASSWORD_TOO_COMMON, PASSWORD_PERSONAL, PASSWORD_BREACHED
 * @throws {DatabaseError} INVALID_CREDENTIALS where the password was changed in the meantime; PROOF_REQUIRED for a first
 *   password from a session that was not proved within 5 minutes, or with an API key
 */
export async function changePassword(
  { database, passwords, notices }: PasswordServices,
  caller: Caller,
  { current_password, new_password, revoke_api_keys }: Static<typeof ChangePasswordSchema>,
  network: string,
): Promise<Static<typeof ChangedSchema>> {
  const attempt = await database.call('begin_password_change', { p_caller: caller }, BeginPasswordChangeSchema);
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });
  const { email, password_hash } = attempt;
  if (password_hash !== null) await requireMatch(passwords, password_hash, current_password, network);
  const change = {
    p_caller: caller,
    p_password_hash: await passwords.hashNew(new_password, [email], network),
    p_revoke_keys: revoke_api_keys,
    ...(password_hash !== null && { p_verified_hash: password_hash }),
  };
  return notices.post('new_password', (notice) =>
    database.call('change_password', { ...change, ...notice }, ChangedSchema),
  );
}

/** Rejects a password that is not the one hashed. @throws {ApiError} INVALID_CREDENTIALS */
async function requireMatch(
  passwords: Passwords,
  hash: string,
  password: string | undefined,
  network: string,
): Promise<void> {
  if (password === undefined) {
    throw new ApiError('INVALID_CREDENTIALS', { sentence: 'current_password is needed' });
  }
  if (!(await passwords.verify(hash, password, network))) {
    throw new ApiError('INVALID_CREDENTIALS', { sentence: 'The current password is wrong' });
  }
}
