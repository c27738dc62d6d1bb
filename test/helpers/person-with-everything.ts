import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from './accounts.js';
import type { TestAdmin } from './admin.js';
import type { TestDevice, TestServer } from './http/test-server.js';
import { signUp } from './tracker.js';
import { hold, recordUses } from './usage.js';

/** Marks everything personal. */
export const CANARY = 'canary';

/** Logs a person in with a browser that names itself by the canary. */
export function logIn(server: TestServer, user: TestUser) {
  const payload = { email: user.email, password: user.password };
  const headers = { 'user-agent': `${CANARY} browser` };
  return server.app.inject({ method: 'POST', url: '/api/auth/login', payload, headers });
}

async function registerDevice(server: TestServer, token: string): Promise<TestDevice> {
  const payload = { device_name: `${CANARY} laptop`, hardware_fingerprint: randomUUID() };
  const response = await sendWith(server, token, 'POST', '/api/devices/register', payload);
  const { device_id: id, device_token } = response.json<{ device_id: string; device_token: string }>();
  return { id, token: device_token };
}

/** A person, and everything that acts in their name. */
export interface Person extends TestUser {
  readonly key: string;
  readonly tracker: string;
  readonly device: TestDevice;
  /** Access and refresh tokens of every session. */
  readonly sessions: readonly { readonly token: string; readonly refresh_token: string }[];
}

/** Creates a person with rows in every table; whatever is personal in them contains the canary. */
export async function createPersonWithEverything(server: TestServer, admin: TestAdmin): Promise<Person> {
  const { database } = server;
  const user = await registerUser(server, { email: `${CANARY}-${randomUUID()}@example.com`, name: `${CANARY} name` });
  await user.as('PUT', '/api/users/me', { picture: `https://example.com/${CANARY}.png` });
  const key = await createApiKey(user, `${CANARY} key`);
  await sendWith(server, key, 'GET', '/api/users/me');
  const second = (await logIn(server, user)).json<{ token: string; refresh_token: string }>();
  await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: { email: user.email, password: 'wrong' },
    remoteAddress: '192.0.2.1',
  });
  await user.as('POST', '/api/users/me/password', { current_password: 'wrong', new_password: 'a long new password' });
  await database.sql(
    `insert into private.external_identities (provider, subject, user_id, email) values ('google', $2, $1, $3)`,
    [user.id, `${CANARY}-${user.id}`, user.email],
  );
  const device = await registerDevice(server, user.token);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });
  await admin.as('POST', '/api/admin/allocate', { user_id: user.id, tokens: 500 });
  const own = { subject: user.id, user: user.id, url: `https://example.com/${CANARY}` };
  await recordUses(database, { ...own, count: 5 });
  await recordUses(database, { ...own, count: 3, cost: 100, source: 'chat' });
  await hold(database, user.id, 40);
  await database.sql(`select private.remember_answer($1, private.idempotency_key_hash($2), 0, '{}')`, [
    user.id,
    `${CANARY} key`,
  ]);
  await database.sql(
    `insert into private.password_resets (email, user_id, token_hash, expires_at)
     values ($2, $1, sha256(convert_to($2, 'UTF8')), now() + interval '30 minutes')`,
    [user.id, user.email],
  );
  await user.as('PUT', '/api/users/me/settings', { settings: { [CANARY]: CANARY } });
  const changes = { [`${CANARY} ahead`]: { value: CANARY, updated_at: Date.now() + 3_600_000 } };
  await user.as('POST', '/api/sync/push', { base_version: 1, changes, device: CANARY });
  const tracker = await signUp(server, user.email);
  await sendWith(server, tracker, 'POST', '/api/trackUsage', { usage: 2, tokenCount: 30 });
  return { ...user, key, tracker, device, sessions: [{ token: user.token, refresh_token: user.refreshToken }, second] };
}
