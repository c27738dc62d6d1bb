import { type Static, Type } from '@sinclair/typebox';
import { normalizeEmail } from '../../../auth/email.js';
import type { Actor } from '../../../auth/guards/admin-guard.js';
import type { Passwords } from '../../../auth/passwords.js';
import { UserSchema } from '../../../auth/user-schema.js';
import type { Database } from '../../../platform/database/client/database.js';
import { decodeCursor, encodeCursor, TimePositionSchema } from '../../../platform/http/pagination.js';
import type { CreateUser, UsersQuery, UsersSchema } from './user-schemas.js';

const UserListSchema = Type.Object({ count: Type.Integer(), users: Type.Array(UserSchema) });

/** Reads a page of accounts, newest first, and counts all that match. */
export async function listUsers(
  database: Database,
  actor: Actor,
  { limit, cursor, q }: UsersQuery,
): Promise<Static<typeof UsersSchema>> {
  const after = decodeCursor(TimePositionSchema, cursor);
  const page = {
    p_actor: actor,
    p_limit: limit,
    ...(q !== undefined && { p_query: q }),
    ...(after !== undefined && { p_after_at: after.at, p_after_id: after.id }),
  };
  const { count, users } = await database.call('list_users', page, UserListSchema);
  const next_cursor = encodeCursor(users, limit, ({ created_at, id }) => ({ at: created_at, id }));
  return { success: true, count, users, next_cursor };
}

/**
 * Creates an account.
 * @param tokens what its balance starts with
 * @throws {ApiError} PASSWORD_TOO_COMMON, PASSWORD_PERSONAL, PASSWORD_BREACHED
 * @throws {DatabaseError} EMAIL_TAKEN
 */
export async function createUser(
  database: Database,
  passwords: Passwords,
  actor: Actor,
  { email, name, password }: CreateUser,
  tokens: number,
): Promise<Static<typeof UserSchema>> {
  const account = {
    p_actor: actor,
    p_email: normalizeEmail(email),
    p_default_tokens: tokens,
    ...(name !== undefined && { p_name: name.trim() }),
    ...(password !== undefined && { p_password_hash: await passwords.hashNew(password, [email, name ?? '']) }),
  };
  return database.call('create_user', account, UserSchema);
}
