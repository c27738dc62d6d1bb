import pg from 'pg';
import { registerUser } from '../helpers/accounts.js';
import { logInAsAdmin } from '../helpers/admin.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import { keepLines } from '../helpers/http/log-lines.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

const database = await openTestCluster(t);
const { lines, destination } = keepLines();
const server = await openTestServer(t, { database, environment: { LOG_LEVEL: 'error' }, log: destination });
const device = await server.registerDevice(1_000);
const person = await registerUser(server);
const admin = await logInAsAdmin(server);

/** Runs SQL as the superuser on a connection of its own: in the database, or beside it where that lets nobody in. */
async function run(place: 'postgres' | 'template1', statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: database.adminUrl.replace(/postgres$/, place) });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
const endSessions = `select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'authenticator'`;
const endAll = `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'postgres'`;
/** Has only what stands in the file let anybody in. */
const writeHostRules = (rules: string) => [
  `copy (select line from regexp_split_to_table('${rules}', ';') as line) to '${database.cluster.directory}/pg_hba.conf'`,
  'select pg_reload_conf()',
];

interface State {
  readonly name: string;
  /** Where it is made; in the database itself by default. */
  readonly place?: 'template1';
  readonly begin: readonly string[];
  readonly end: readonly string[];
  /** What the log says of it. */
  readonly cause: RegExp;
  /** Requests that go on as before. */
  readonly unaffected?: readonly string[];
}

const states: readonly State[] = [
  {
    name: 'its user may not act for the server any more',
    begin: ['revoke service_role from authenticator', endSessions],
    end: ['grant service_role to authenticator'],
    cause: /42501/,
    unaffected: ['GET /api/users/me/balance'],
  },
  {
    name: 'its user may not act for people any more',
    begin: ['revoke authenticated from authenticator', endSessions],
    end: ['grant authenticated to authenticator'],
    cause: /permission denied to set role \\"authenticated\\"/,
    unaffected: [
      'POST /api/usage/log',
      'POST /api/devices/register',
      'POST /api/auth/login',
      'GET /api/admin/users',
      'GET /readyz',
    ],
  },
  {
    name: 'the role that acts for the server is gone',
    begin: ['alter role service_role rename to away', endSessions],
    end: ['alter role away rename to service_role'],
    cause: /42501/,
    unaffected: ['GET /api/users/me/balance'],
  },
  {
    name: 'the role that acts for people is gone',
    begin: ['alter role authenticated rename to away', endSessions],
    end: ['alter role away rename to authenticated'],
    cause: /role \\"authenticated\\" does not exist/,
    unaffected: [
      'POST /api/usage/log',
      'POST /api/devices/register',
      'POST /api/auth/login',
      'GET /api/admin/users',
      'GET /readyz',
    ],
  },
  {
    name: 'a function may not be called any more',
    begin: ['revoke execute on function meter_devices(jsonb) from service_role'],
    end: ['grant execute on function meter_devices(jsonb) to service_role'],
    cause: /permission denied for function meter_devices/,
    unaffected: [
      'GET /api/users/me/balance',
      'POST /api/devices/register',
      'POST /api/auth/login',
      'GET /api/admin/users',
      'GET /readyz',
    ],
  },
  {
    name: 'the schema of its functions is closed',
    begin: ['revoke usage on schema public from public, service_role, authenticated', endSessions],
    end: ['grant usage on schema public to public, service_role, authenticated'],
    cause: /permission denied for schema public/,
  },
  {
    name: 'its user may not log in any more',
    begin: ['alter role authenticator nologin', endSessions],
    end: ['alter role authenticator login'],
    cause: /28000/,
  },
  {
    name: 'its user has another password now',
    begin: [`alter role authenticator password 'another'`, endSessions],
    end: [`alter role authenticator password '${new URL(database.serverUrl).password}'`],
    cause: /28P01/,
  },
  {
    name: 'the rules of its host let nobody in',
    begin: [...writeHostRules('host all authenticator all reject;host all all all scram-sha-256'), endSessions],
    end: writeHostRules('host all all all scram-sha-256'),
    cause: /28000/,
  },
  {
    place: 'template1',
    name: 'the database lets nobody in',
    begin: ['alter database postgres allow_connections false', endAll],
    end: ['alter database postgres allow_connections true'],
    cause: /55000/,
  },
  {
    place: 'template1',
    name: 'the database has another name now',
    begin: ['alter database postgres allow_connections false', endAll, 'alter database postgres rename to away'],
    end: ['alter database away rename to postgres', 'alter database postgres allow_connections true'],
    cause: /3D000/,
  },
];

const requests = {
  'POST /api/usage/log': () =>
    server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', event_id: 'the same each time' }),
  'GET /api/users/me/balance': () => person.as('GET', '/api/users/me/balance'),
  'POST /api/devices/register': () =>
    server.app.inject({
      method: 'POST',
      url: '/api/devices/register',
      payload: { device_name: 'Test', hardware_fingerprint: 'the same each time' },
    }),
  'POST /api/auth/login': () =>
    server.app.inject({
      method: 'POST',
      url: '/api/auth/login',
      payload: { email: person.email, password: person.password },
    }),
  'GET /api/admin/users': () => admin.as('GET', '/api/admin/users'),
  'GET /readyz': () => server.app.inject('/readyz'),
};

for (const { name, place = 'postgres', begin, end, cause, unaffected = [] } of states) {
  t.test(`where ${name}, requests are 503 with Retry-After, the log says why, and it passes`, async (t) => {
    const affected = Object.entries(requests).filter(([request]) => !unaffected.includes(request));
    await run(place, begin);
    try {
      lines.length = 0;
      for (const [request, send] of affected) {
        const answer = await send();
        t.equal(answer.statusCode, 503, `${request}: ${answer.body}`);
        t.match(answer.headers['retry-after'], /^\d+$/, request);
      }
      for (const request of unaffected) {
        const [, send] = Object.entries(requests).find(([known]) => known === request) ?? [];
        t.ok(((await send?.())?.statusCode ?? 0) < 300, request);
      }
      // Of what is the same in each request the log has one line a second.
      await untilTrue(async () => {
        for (const [, send] of affected) await send();
        return lines.some((line) => cause.test(line));
      });
    } finally {
      await run(place, end);
    }
    for (const send of Object.values(requests)) await untilTrue(async () => (await send()).statusCode < 300);
  });
}

t.test('and the books add up', async (t) => {
  await server.verifyLedger(t);
});

t.end();
