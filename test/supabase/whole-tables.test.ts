import { randomUUID } from 'node:crypto';
import { AnyResult } from '../../src/platform/database/client/database.js';
import { createApiKey, registerUser } from '../helpers/accounts.js';
import { logInAsAdmin } from '../helpers/admin.js';
import { fillTables, ROWS } from '../helpers/db/fill-tables.js';
import { type DocumentedRoute, documentedRoutes } from '../helpers/http/documented-routes.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { signUp } from '../helpers/tracker.js';
import { until } from '../helpers/until.js';
import { recordUses } from '../helpers/usage.js';

const server = await openTestServer(t, { environment: { SIGNUP: 'open' } });
const { database } = server;
await fillTables(database);

const admin = await logInAsAdmin(server);
const user = await registerUser(server);
const device = await server.registerDevice(1_000);
await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
await recordUses(database, { subject: user.id, user: user.id, count: 5 });
const TOKENS: Readonly<Record<string, string>> = {
  userToken: user.token,
  apiKey: await createApiKey(user),
  deviceToken: device.token,
  trackerToken: await signUp(server, user.email),
  adminToken: admin.token,
};

/** What has to have done its work, or the test would prove little. */
const ALWAYS_ANSWERED = [
  'post /api/devices/register',
  'get /api/devices/{id}/tokens',
  'get /api/devices/{id}/usage',
  'post /api/devices/check-can-use',
  'post /api/devices/{id}/usage',
  'post /api/usage/log',
  'post /api/trackUsage',
  'post /api/usage',
  'get /api/usage',
  'post /api/events',
  'post /api/auth/login',
  'post /api/auth/refresh',
  'post /api/sync/push',
  'get /api/users/me/balance',
];
/** What adds up or searches everybody's rows, and the books. */
const ABOUT_EVERYBODY = new Set([
  'get /api/admin/usage/summary',
  'get /api/admin/budget',
  'put /api/admin/budget',
  'put /api/admin/alerts',
  'post /api/admin/reset-monthly',
  'get /api/admin/periods',
  'get /api/admin/dashboard',
  'get /api/admin/overview',
  'get /api/admin/devices',
  'get /api/admin/plans',
  'put /api/admin/plans/{tier}',
  'get /api/admin/budget/preview',
  'get /api/admin/reset-monthly/preview',
  'post /api/admin/devices/bulk',
  'post /api/admin/users/bulk',
  'post /api/admin/devices/bulk-changes',
  'post /api/admin/users/bulk-changes',
  'get /api/admin/events/summary',
  'get /api/admin/ledger/verify',
  'get /api/admin/users',
  'get /api/users',
]);
/** What ends a credential comes after what needs it. */
const LAST = [/^delete .*\/(devices|api-keys|usage|invitations|sessions)\//, /^delete /, /password$/, /logout$/];
const rank = ({ name }: DocumentedRoute) => LAST.findIndex((pattern) => pattern.test(name));

function createFiller({ name }: DocumentedRoute) {
  return (field: string, type: string | undefined): unknown => {
    if (field === 'id') return /\/devices\//.test(name) ? device.id : user.id;
    if (field === 'device_id') return device.id;
    if (field === 'reservation_id') return null;
    if (field === 'email') return name.endsWith('/register') ? `${randomUUID()}@example.com` : user.email;
    if (field === 'password' || field === 'current_password') return user.password;
    if (field === 'refresh_token') return user.refreshToken;
    if (/fingerprint|event_id|username/.test(field) && type === 'string') return randomUUID();
    return undefined;
  };
}

/** Ends the server's connections, which tells what they read, and has the next requests plan all of their queries anew. */
async function endConnections(): Promise<void> {
  await until('the connections are gone', async () => {
    const open = await database.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = 'authenticator'`,
    );
    return open.length === 0 || undefined;
  });
}

/** Returns the tables that were read whole since the last call, by connections that have ended. */
async function takeWholeReads(): Promise<string[]> {
  await endConnections();
  const rows = await database.sql<{ name: string }>(
    `select relid::regclass::text as name from pg_stat_user_tables where seq_tup_read >= ${ROWS / 2} order by 1`,
  );
  await database.sql('select pg_stat_reset()');
  return rows.map(({ name }) => name);
}

async function call(route: DocumentedRoute): Promise<number> {
  const token = TOKENS[route.schemes[0] ?? ''];
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return (await server.app.inject({ ...route.request(createFiller(route)), headers })).statusCode;
}

t.test('no route reads a whole table to answer one request', async (t) => {
  const documented = (await documentedRoutes(server)).filter(({ isStream }) => !isStream);
  const routes = documented.filter(({ name }) => !ABOUT_EVERYBODY.has(name)).sort((a, b) => rank(a) - rank(b));
  await takeWholeReads();
  const answered = new Map<string, number>();
  for (const route of routes) answered.set(route.name, await call(route));
  const read = await takeWholeReads();
  t.strictSame(read, []);

  for (const name of ALWAYS_ANSWERED) t.match(answered.get(name), /^20[01]$/, name);
  // Says which routes it was; those that ended what they need cannot be asked again.
  for (const route of read.length > 0 ? routes : []) {
    await call(route);
    t.strictSame(await takeWholeReads(), [], route.name);
  }
  await server.verifyLedger(t);
});

t.test('no more does what is asked for the listeners of streams', async (t) => {
  const listener = { id: user.id, session_id: null, api_key_id: null, version: 7, allocated: 0, used: 0, reserved: 0 };
  await takeWholeReads();
  const changed = await server.backend.database.call('changed_states', { p_listeners: [listener] }, AnyResult);
  t.match(changed, [{ position: 0 }]);
  t.strictSame(await takeWholeReads(), []);
});

t.end();
