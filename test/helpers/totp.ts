import { Secret, TOTP } from 'otpauth';
import type { TestUser } from './accounts.js';
import { logInAsAdmin, PASSWORD, type TestAdmin } from './admin.js';
import type { TestServer } from './http/test-server.js';

/** Returns the code an authenticator app shows, as many steps of half a minute from now. */
export function showCode(secret: string, steps = 0): string {
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + steps * 30_000 });
}

/** An admin with a second factor. */
export interface EnrolledAdmin extends TestAdmin {
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
}

/** Creates an admin with a second factor; the code that was shown is the one before the present. */
export async function enrolAdmin(server: TestServer, username: string): Promise<EnrolledAdmin> {
  const admin = await logInAsAdmin(server, username);
  const begun = await admin.as('POST', '/api/admin/second-factor', { current_password: PASSWORD });
  const { secret } = begun.json<{ secret: string }>();
  const confirmed = await admin.as('POST', '/api/admin/second-factor/confirm', { totp: showCode(secret, -1) });
  const { token, recovery_codes: recoveryCodes } = confirmed.json<{ token: string; recovery_codes: string[] }>();
  const as: TestAdmin['as'] = (method, url, payload, headers) =>
    admin.as(method, url, payload, { ...headers, authorization: `Bearer ${token}` });
  return { token, as, secret, recoveryCodes };
}

/** What a person with a second factor keeps of it. */
export interface UserFactor {
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
}

/** Sets up a second factor for a person whose session is fresh; the code that was shown is the one before the present. */
export async function enrolUser(user: Pick<TestUser, 'as'>): Promise<UserFactor> {
  const begun = await user.as('POST', '/api/users/me/second-factor');
  const { secret } = begun.json<{ secret: string }>();
  const confirmed = await user.as('POST', '/api/users/me/second-factor/confirm', { totp: showCode(secret, -1) });
  if (confirmed.statusCode !== 200) throw new Error(`enrolling answered ${confirmed.statusCode}: ${confirmed.payload}`);
  return { secret, recoveryCodes: confirmed.json<{ recovery_codes: string[] }>().recovery_codes };
}

/** Lets codes that were used be good again, as after a while another one is shown. */
export async function forgetUsedCodes({ database }: Pick<TestServer, 'database'>, { id }: { readonly id: string }) {
  await database.sql('update private.user_second_factors set last_step = 0 where user_id = $1', [id]);
}
