import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { ADMIN_READS, OWN_READS } from '../../../src/platform/database/replica/readable.js';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openPgBouncer } from '../../helpers/db/pgbouncer.js';
import { openReplicated } from '../../helpers/db/standby.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import { isMissing } from '../../helpers/local-program.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';
import { recordUses } from '../../helpers/usage.js';

const { primary, standby, pause, goOn, catchUp } = await openReplicated(t);

/** What each server says. */
const [messages, strictMessages]: [string[], string[]] = [[], []];
/** Tokens of one server are good at the other. */
const secret = randomBytes(32).toString('base64url');
/** Opens a server over both. @param maxLag in milliseconds */
const openServer = (maxLag: number, said: string[]) =>
  openTestServer(t, {
    database: primary,
    environment: {
      DATABASE_READ_URL: standby.serverUrl,
      DATABASE_READ_MAX_LAG: String(maxLag),
      LOG_LEVEL: 'info',
      JWT_SECRET: secret,
    },
    log: { write: (line: string) => void said.push(line) },
  });
const HOUR = 3_600_000;
const server = await openServer(HOUR, messages);
const strict = await openServer(0, strictMessages);

type Ready = { read?: string };
const sourceOf = async (at: TestServer) => (await at.app.inject('/readyz')).json<Ready>().read;
const untilRead = (source: 'replica' | 'primary', at = server) =>
  until(`the ${source} is read`, async () => (await sourceOf(at)) === source || undefined);

/** Returns how often the standby answered. */
async function countReads(): Promise<number> {
  const { payload } = await server.app.inject({ url: '/metrics', remoteAddress: '127.0.0.1' });
  return Number(/tokenledger_reads_total\{from="replica",reason="none"\} (\d+)/.exec(payload)?.[1]);
}

const use = (device: TestDevice) => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
/** Counts the debits in a ledger that was answered, and returns what its header says. */
const readLedger = (answer: { json: () => { entries: { kind: string }[] }; headers: object; statusCode: number }) => ({
  status: answer.statusCode,
  debits: answer.json().entries.filter(({ kind }) => kind === 'debit').length,
  lag: Number(Reflect.get(answer.headers, 'x-read-lag-ms')),
});
const ledgerOf = (device: TestDevice, at = server) => at.as(device, 'GET', `/api/devices/${device.id}/ledger`);

/** Locks what a ledger is read from. @returns lets go of it */
async function holdLock(): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: primary.adminUrl });
  await client.connect();
  await client.query('begin; lock table ledger_entries in access exclusive mode');
  return async () => {
    await client.query('rollback');
    await client.end();
  };
}

t.test('what a standby may answer writes nothing', async (t) => {
  const names = [...OWN_READS, ...ADMIN_READS];
  const rows = await primary.sql<{ name: string; volatility: string }>(
    `select proname as name, provolatile as volatility from pg_proc
      where proname = any ($1) and pronamespace = 'public'::regnamespace`,
    [names],
  );
  t.equal(rows.length, names.length);
  t.strictSame(
    rows.filter(({ volatility }) => volatility === 'v'),
    [],
  );
});

t.test('a standby that has everything is read, and what was just written is there', async (t) => {
  await untilRead('replica');
  const device = await server.registerDevice(10);
  for (const debits of [1, 2, 3]) {
    await use(device);
    t.match(readLedger(await ledgerOf(device)), { status: 200, debits, lag: 0 });
    t.match(readLedger(await ledgerOf(device, strict)), { status: 200, debits, lag: 0 }, 'at another server');
  }
  t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).headers['x-read-lag-ms'], undefined);
  await server.verifyLedger(t);
});

t.test('while the standby is behind, whoever wrote sees it, others see how old what they see is', async (t) => {
  const writer = await server.registerDevice(3);
  const admin = await logInAsAdmin(server, 'watcher', 'viewer');
  await use(writer);
  await catchUp();
  await untilRead('replica');
  const summarize = () => admin.as('GET', '/api/admin/usage/summary');
  const before = await summarize();
  await pause(t);
  await use(writer);

  const own = readLedger(await ledgerOf(writer));
  t.match(own, { status: 200, debits: 2, lag: 0 }, 'the writer reads the primary');
  const summary = await summarize();
  t.strictSame(summary.json(), before.json());
  const lag = Number(summary.headers['x-read-lag-ms']);
  t.ok(lag > 0 && lag < HOUR, `an admin is told that the answer is old: ${lag}`);
  t.equal(readLedger(await ledgerOf(writer, strict)).debits, 2, 'a server that takes nothing old reads the primary');
  await untilRead('primary', strict);

  const check = () => server.as(writer, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5' });
  t.match((await check()).json(), { can_use: true });
  t.equal((await use(writer)).statusCode, 200);
  t.match((await check()).json(), { can_use: false }, 'the balance is the primary’s');
  t.match((await use(writer)).json(), { code: 'INSUFFICIENT_TOKENS' });

  await goOn();
  await untilRead('replica', strict);
  t.match(readLedger(await ledgerOf(writer)), { debits: 3, lag: 0 });
  await server.verifyLedger(t);
});

t.test('who may read is decided by the primary: old sessions, keys and tokens open nothing, new ones do', async (t) => {
  const leaving = await registerUser(server);
  const admin = await logInAsAdmin(server, 'leaver');
  const operator = await logInAsAdmin(server, 'operator');
  const blocked = await server.registerDevice();
  await catchUp();
  await untilRead('replica');
  t.equal((await leaving.as('GET', '/api/usage/summary')).headers['x-read-lag-ms'], '0');
  await pause(t);

  await leaving.as('POST', '/api/auth/logout');
  await admin.as('POST', '/api/admin/logout');
  await operator.as('POST', '/api/admin/block-device', { device_id: blocked.id, blocked: true });
  for (const url of [
    '/api/usage/summary',
    '/api/usage',
    '/api/usage.csv',
    '/api/users/me/ledger',
    '/api/users/me/export',
  ]) {
    t.equal((await leaving.as('GET', url)).statusCode, 401, url);
  }
  for (const url of ['/api/admin/dashboard', '/api/admin/overview', '/api/admin/usage', '/api/admin/usage.csv']) {
    t.equal((await admin.as('GET', url)).statusCode, 401, url);
  }
  t.match(await ledgerOf(blocked), { statusCode: 403 });

  const coming = await registerUser(server);
  const answer = await coming.as('GET', '/api/usage/summary');
  t.match(answer, { statusCode: 200, headers: { 'x-read-lag-ms': '0' } }, 'the standby does not know them yet');
  const device = await server.registerDevice();
  t.match(await ledgerOf(device, strict), { statusCode: 200 });
  await goOn();
  await server.verifyLedger(t);
});

t.test('files are read from the standby, page by page', async (t) => {
  const person = await registerUser(server);
  await recordUses(primary, { subject: person.id, user: person.id, count: 2 });
  await catchUp();
  await untilRead('replica');
  const file = await person.as('GET', '/api/usage.csv');
  t.match(file, { statusCode: 200, headers: { 'x-read-lag-ms': '0' }, payload: /gpt-5/ });
  const reads = await countReads();
  const exported = await person.as('GET', '/api/users/me/export');
  t.match(exported, { statusCode: 200, payload: /gpt-5/ });
  t.match(exported.json(), { profile: { email: person.email } });
  t.ok((await countReads()) >= reads + 10, 'every list is');
  await server.verifyLedger(t);
});

t.test('what recovery interrupts on the standby is answered by the primary', async (t) => {
  const device = await server.registerDevice(10);
  await use(device);
  await untilRead('replica');
  // Replayed, the lock holds up whoever reads there; another lock then wants what they have read before.
  const release = await holdLock();
  await primary.sql('create table flushed ()');
  await catchUp();
  const reading = ledgerOf(device);
  await until('a read waits on the standby', async () => {
    const [row] = await standby.sql<{ waits: boolean }>(
      `select exists (select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'authenticator') as waits`,
    );
    return row?.waits || undefined;
  });
  await primary.sql('begin; lock table devices in access exclusive mode; commit');
  await until('it was interrupted', async () => {
    const [row] = await standby.sql<{ conflicts: number }>(
      'select sum(confl_lock)::integer as conflicts from pg_stat_database_conflicts',
    );
    return (row?.conflicts ?? 0) > 0 || undefined;
  });
  await release();
  t.match(readLedger(await reading), { status: 200, debits: 1, lag: 0 });
  await server.verifyLedger(t);
});

t.test('a pooler may stand before the standby', { skip: isMissing('pgbouncer', '--version') }, async (t) => {
  const url = await openPgBouncer(t, standby.serverUrl);
  const environment = { DATABASE_READ_URL: url, JWT_SECRET: secret };
  const pooled = await openTestServer(t, { database: primary, environment });
  const device = await server.registerDevice(10);
  await use(device);
  await untilRead('replica', pooled);
  const reads = await countReads();
  t.match(readLedger(await ledgerOf(device, pooled)), { status: 200, debits: 1, lag: 0 });
  t.ok((await countReads()) > reads);
  await server.verifyLedger(t);
});

t.test('a standby that stops is left alone without an error, and read again when it is back', async (t) => {
  const device = await server.registerDevice(10);
  await use(device);
  await untilRead('replica');
  messages.length = 0;
  await standby.cluster.stop();
  for (let count = 0; count < 3; count += 1) {
    t.match(readLedger(await ledgerOf(device)), { status: 200, debits: 1, lag: 0 });
  }
  await untilRead('primary');
  await untilRead('primary', strict);
  t.equal((await server.app.inject('/readyz')).statusCode, 200);
  // The other one may have left it for being behind before.
  const said = messages.filter((line) => line.includes('the standby is not read; the primary is'));
  t.equal(said.length, 1, 'the server says it once');
  t.notMatch([...messages, ...strictMessages].join(''), /postgres:\/\//);
  await standby.cluster.restart();
  await untilRead('replica');
  t.match(readLedger(await ledgerOf(device)), { status: 200, debits: 1, lag: 0 });
  await server.verifyLedger(t);
});

t.test('commands refuse a standby in the place of the database', async (t) => {
  await t.rejects(migrate(standby.adminUrl), {
    name: 'StartupError',
    message: /^DATABASE_URL is a standby .*DATABASE_READ_URL$/,
  });
});

t.test('metrics say where reads were made, and how far the standby is behind', async (t) => {
  const { payload } = await server.app.inject({ url: '/metrics', remoteAddress: '127.0.0.1' });
  t.match(payload, /tokenledger_reads_total\{from="replica",reason="none"\} \d+/);
  t.match(payload, /tokenledger_reads_total\{from="primary",reason="behind"\} \d+/);
  t.match(payload, /tokenledger_reads_total\{from="primary",reason="unusable"\} \d+/);
  t.match(payload, /tokenledger_read_lag_seconds [\d.]+/);
});

t.test('a standby whose schema is another, or that was promoted, is left alone', async (t) => {
  const device = await server.registerDevice(10);
  await untilRead('replica');
  await pause(t);
  await primary.sql(
    `insert into supabase_migrations.schema_migrations (version, name) values ('99990101000000', 'later')`,
  );
  await until(
    'the schema is another',
    () => messages.some((line) => line.includes('has not got the latest migration')) || undefined,
  );
  t.match(await ledgerOf(device), { statusCode: 200, headers: { 'x-read-lag-ms': '0' } });
  await primary.sql(`delete from supabase_migrations.schema_migrations where version = '99990101000000'`);
  await goOn();
  await untilRead('replica');

  await standby.sql('select pg_promote(true, 60)');
  await until('it is no standby', () => messages.some((line) => line.includes('is no standby')) || undefined);
  await untilRead('primary');
  await use(device);
  t.match(readLedger(await ledgerOf(device)), { status: 200, debits: 1, lag: 0 });
  await server.verifyLedger(t);
});
