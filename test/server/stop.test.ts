import { connect, type Socket } from 'node:net';
import { assertLedger, logUse, register } from '../helpers/http/server-load.js';
import { openReadyDirectory, type ServerDirectory, startServer } from '../helpers/http/server-process.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

/** Holds a device's balance, so that a debit waits. */
async function holdBalance(directory: ServerDirectory, device: string) {
  const client = await directory.connect();
  await client.query('begin');
  await client.query('select from public.balances where subject_id = $1 for update', [device]);
  return { release: () => client.query('commit') };
}

async function debitWaits(directory: ServerDirectory): Promise<true | undefined> {
  const rows = await directory.sql(`select from pg_stat_activity where wait_event_type = 'Lock'`);
  return rows.length > 0 ? true : undefined;
}

const toPort = (url: string) => Number(new URL(url).port);

function refusesConnections(url: string): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(toPort(url), '127.0.0.1');
    socket.once('connect', () => resolve(void socket.destroy()));
    socket.once('error', () => resolve(true));
  });
}

/** A connection that has sent half a request: open, and not idle. */
async function halfRequest(t: Test, url: string, path: string) {
  const socket = connect(toPort(url), '127.0.0.1').setEncoding('utf8');
  t.after(() => socket.destroy());
  await new Promise((connected) => socket.once('connect', connected));
  await new Promise<void>((written) => socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n`, () => written()));
  return { finish: () => answerTo(socket, '\r\n') };
}

function answerTo(socket: Socket, rest: string): Promise<string> {
  let received = '';
  socket.on('data', (text: string) => {
    received += text;
  });
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)));
  socket.write(rest);
  return closed;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} lets running requests finish, then stops Postgres cleanly`, async (t) => {
    const directory = await openReadyDirectory(t);
    const server = startServer(t, { cwd: directory.path });
    const url = await server.ready();
    const device = await register(url);
    const held = await holdBalance(directory, device.id);
    const pending = logUse(url, device);
    await until('the debit waits', () => debitWaits(directory));
    const readiness = await halfRequest(t, url, '/readyz');
    const liveness = await halfRequest(t, url, '/healthz');

    server.signal(signal);
    await until('no new connection is taken', () => refusesConnections(url));
    server.signal(signal);
    server.signal('SIGTERM');
    const answer = await readiness.finish();
    t.match(answer, /^HTTP\/1\.1 503 /, 'it is not ready any more');
    t.match(answer, /retry-after: \d/i);
    t.match(answer, /connection: close/i);
    t.match(answer, /"code":"SERVICE_UNAVAILABLE"/);
    t.match(await liveness.finish(), /^HTTP\/1\.1 200 /, 'and alive');

    await held.release();
    t.match(await pending, { status: 200, body: { tokens_used: 1, remaining: 49 } });
    t.strictSame(await server.ended, { code: 0, signal: null });
    t.equal(server.stderr(), '');
    t.equal(await directory.postgresPid(), undefined, 'Postgres has ended');
    t.match((await directory.postgresLog()).trim().split('\n').at(-1), /database system is shut down$/);

    const next = startServer(t, { cwd: directory.path });
    await next.ready();
    const [event] = await directory.sql<{ count: string }>('select count(*) from public.usage_events');
    t.equal(event?.count, '1', 'what was answered is there');
    await assertLedger(t, directory.sql);
  });
}

t.test('a signal during the first start leaves no Postgres behind', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path });
  await until('Postgres starts', directory.postgresPid);
  server.signal('SIGTERM');
  t.strictSame(await server.ended, { code: 0, signal: null });
  t.equal(await directory.postgresPid(), undefined);
  t.match(await directory.postgresLog(), /database system is shut down/);
});

t.test('a server npm started stops by itself when the shell between them dies', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, {
    cwd: directory.path,
    environment: { npm_lifecycle_event: 'start' },
    command: ['sh', '-c', '"$0" "$1"; exit $?'],
  });
  const url = await server.ready();
  t.match(await directory.postgresPid(), Number);
  server.signal('SIGKILL');
  t.strictSame(await server.ended, { code: null, signal: 'SIGKILL' }, 'the shell was killed, and the server let go');
  t.equal(await refusesConnections(url), true);
  t.equal(await directory.postgresPid(), undefined);
  t.match(await directory.postgresLog(), /database system is shut down/);
});

t.test('a server whose output nobody reads any more goes on, and still stops cleanly', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, {
    cwd: directory.path,
    environment: { npm_lifecycle_event: 'start' },
    command: ['sh', '-c', '"$0" "$1" | true'],
  });
  await until('Postgres starts', directory.postgresPid);
  const admins = () => directory.sql('select from private.admins').catch(() => []);
  await until('the first admin is made', async () => ((await admins()).length > 0 ? true : undefined));
  server.signal('SIGKILL');
  await server.ended;
  t.equal(server.stderr(), '');
  t.equal(await directory.postgresPid(), undefined);
  t.match(await directory.postgresLog(), /database system is shut down/);
});
