import { randomBytes } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { hashPassword } from '../../auth/passwords.js';
import type { Config } from '../../config/config.js';
import type { Backend } from '../../platform/database/backend.js';

const FlagSchema = Type.Boolean();

/**
 * Creates the first admin if there is none: with ADMIN_PASSWORD, or with a generated password when embedded.
 * @returns the password just generated, to be shown once; undefined if none was
 */
export async function ensureFirstAdmin(
  { admin: config, passwords }: Pick<Config, 'admin' | 'passwords'>,
  backend: Backend,
): Promise<string | undefined> {
  if (await backend.database.call('has_admin', {}, FlagSchema)) return undefined;
  const generated =
    config.password === undefined && backend.embedded ? randomBytes(15).toString('base64url') : undefined;
  const password = config.password ?? generated;
  if (password === undefined) return undefined;
  const hash = await hashPassword(password, passwords.peppers[0]);
  const created = await backend.database.call(
    'create_first_admin',
    { p_username: config.username, p_password_hash: hash },
    FlagSchema,
  );
  return created ? generated : undefined;
}
