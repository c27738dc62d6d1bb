import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

const google = await openGoogleTokens(t);
const server = await openTestServer(t, { environment: google.environment });
const { sql } = server.database;
/** Does one half of what happens at once, and keeps it open while the other half arrives. */
const client = new pg.Client({ connectionString: server.database.adminUrl });
await client.connect();
t.after(() => client.end());

/** Sends a request that has to wait for the open transaction, and ends that one. */
async function sendDuringTransaction(send: () => ReturnType<TestUser['as']>) {
  const sent = send();
  await until('the request waits', async () => {
    const waiting = await sql(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0 || undefined;
  });
  await client.query('commit');
  return sent;
}

const listSessions = (user: TestUser) => sql('select 1 from private.sessions where user_id = $1', [user.id]);

/** What a stranger does at the very moment the owner of the address takes the account over. */
const MOVES: Readonly<Record<string, (stranger: TestUser) => ReturnType<TestUser['as']>>> = {
  'logs in': ({ email, password }) =>
    server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } }),
  'refreshes the tokens': ({ refreshToken }) =>
    server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token: refreshToken } }),
  'makes an API key': (stranger) => stranger.as('POST', '/api/users/me/api-keys', { name: 'Planted' }),
  'links a device': (stranger) =>
    stranger.as('POST', '/api/devices/register', { device_name: 'Planted', hardware_fingerprint: stranger.id }),
  'changes the profile': (stranger) => stranger.as('PUT', '/api/users/me', { name: 'Planted' }),
  'changes the password': (stranger) =>
    stranger.as('POST', '/api/users/me/password', {
      current_password: stranger.password,
      new_password: 'the password of a stranger',
    }),
  'deletes the account': (stranger) => stranger.as('DELETE', '/api/users/me'),
};
for (const [what, move] of Object.entries(MOVES)) {
  t.test(`a stranger who ${what} while the owner takes the account over is left outside`, async (t) => {
    const stranger = await registerUser(server);
    const identity = { provider: 'google', subject: randomUUID(), email: stranger.email, name: null, picture: null };
    await client.query('begin');
    await client.query("select private.resolve_external_identity($1, 0, 'open')", [JSON.stringify(identity)]);
    const response = await sendDuringTransaction(() => move(stranger));
    t.equal(response.statusCode, 401);
    t.strictSame(await listSessions(stranger), []);
  });
}

t.test('a stranger whose log-in is not finished when the owner comes is put outside', async (t) => {
  const stranger = await registerUser(server);
  const session = { refresh_hash: randomBytes(32).toString('hex'), lifetime_seconds: 60 };
  await client.query('begin');
  const opened = await client.query(
    `select public.finish_user_login(user_id, updated_at::text, '192.0.2.1', $2)
       from private.user_credentials where user_id = $1`,
    [stranger.id, JSON.stringify(session)],
  );
  t.equal(opened.rowCount, 1);
  const response = await sendDuringTransaction(() => authenticate(server, google.issue({ email: stranger.email })));
  t.equal(response.statusCode, 200);
  t.equal(response.json().id, stranger.id);
  t.strictSame(await listSessions(stranger), []);
  await server.verifyLedger(t);
});

t.end();
