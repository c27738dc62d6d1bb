import { randomBytes } from 'node:crypto';
import { hashPassword } from '../../auth/passwords.js';
import type { Config } from '../../config/config.js';
import type { Backend } from '../../platform/database/backend.js';
import { callDatabase } from '../../platform/database/client/client.js';

/**
 * Makes sure somebody can log in as admin: with ADMIN_PASSWORD, or with a generated password when embedded.
 * @returns the password just generated, to be shown once, or undefined
 */
export async function ensureFirstAdmin(config: Config, backend: Backend): Promise<string | undefined> {
  if (await callDatabase(() => backend.database.rpc('has_admin'))) return undefined;
  const generated =
    config.ADMIN_PASSWORD === undefined && backend.embedded ? randomBytes(15).toString('base64url') : undefined;
  const password = config.ADMIN_PASSWORD ?? generated;
  if (password === undefined) return undefined;
  const hash = await hashPassword(password);
  const created = await callDatabase(() =>
    backend.database.rpc('create_first_admin', { p_username: config.ADMIN_USERNAME, p_password_hash: hash }),
  );
  return created ? generated : undefined;
}
