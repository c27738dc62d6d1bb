import { Secret, TOTP } from 'otpauth';
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
