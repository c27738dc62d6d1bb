import { get } from 'node:http';
import { createServer } from 'node:net';
import { openWebhookReceiver } from '../helpers/fakes/webhook-receiver.js';
import {
  assertLedger,
  assertNothingLost,
  type Device,
  logUse,
  register,
  send,
  startLoad,
} from '../helpers/http/server-load.js';
import { assertRefused, openReadyDirectory, type ServerProcess, startServer } from '../helpers/http/server-process.js';
import { findFreePort } from '../helpers/local-program.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const environment = { WORKERS: '2', LOG_LEVEL: 'info', DEFAULT_DEVICE_TOKENS: '1000000' };

interface Line {
  readonly msg: string;
  readonly pid: number;
  readonly worker?: number;
  readonly route?: string;
}

/** A server whose log is read as it comes. */
interface LoggingServer extends ServerProcess {
  /** Every line so far. */
  readonly lines: () => readonly Line[];
}

function start(t: Test, cwd: string, overrides: Record<string, string> = {}): LoggingServer {
  const server = startServer(t, { cwd, environment: { ...environment, ...overrides } });
  const lines: Line[] = [];
  let read = 0;
  return {
    ...server,
    lines: () => {
      const text = server.stdout();
      const end = text.lastIndexOf('\n') + 1;
      for (const line of text.slice(read, end).split('\n')) if (line.startsWith('{')) lines.push(JSON.parse(line));
      read = end;
      return lines;
    },
  };
}

const untilTold = (server: LoggingServer, told: string) =>
  until(`it says "${told}"`, () => server.lines().find(({ msg }) => msg === told));

/** Asks over new connections until both workers have answered, in other processes than those named. */
function untilBothAnswer(server: LoggingServer, url: string, others: readonly (number | undefined)[] = []) {
  const from = server.lines().length;
  return until('both workers answer', async () => {
    await Promise.all([1, 2, 3, 4].map(() => fetch(`${url}/nowhere`, { headers: { connection: 'close' } })));
    const answered = server
      .lines()
      .slice(from)
      .filter(({ msg }) => msg === 'answered');
    const pids = new Map(answered.map(({ worker = 0, pid }) => [worker, pid]));
    const areNew = [...pids.values()].every((pid) => !others.includes(pid));
    return pids.size === 2 && areNew ? pids : undefined;
  });
}

/** Asks over a new connection. @returns whether it was answered or broken, and not left to wait for half a minute */
const askAnew = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = get(`${url}/healthz`, { agent: false, timeout: 30_000 }, (answer) => {
      answer.resume();
      resolve(true);
    });
    asked.on('error', () => resolve(true));
    asked.on('timeout', () => {
      resolve(false);
      asked.destroy();
    });
  });

/** Sends uses, ten at a time and each over a connection of its own, so that all workers get some; counts the statuses. */
async function useApart(url: string, { token }: Device, count: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const use = async () => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' };
    const { status } = await fetch(`${url}/api/usage/log`, { method: 'POST', headers, body: '{"model_type":"gpt-5"}' });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
  for (let left = count; left > 0; left -= 10) await Promise.all(Array.from({ length: Math.min(left, 10) }, use));
  return statuses;
}

t.test('two workers serve one embedded database', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = start(t, directory.path);
  const url = await server.ready();

  t.test('both answer on one port, and their lines say which', async (t) => {
    const pids = await untilBothAnswer(server, url);
    t.strictSame([...pids.keys()].sort(), [1, 2]);
    t.equal(new Set(pids.values()).size, 2, 'in a process each');
    t.match(await send(url, '/readyz'), { status: 200 });
    t.match(server.stdout(), /Admin login, shown only this once/);
    t.equal(server.stdout().match(/is ready at/g)?.length, 1, 'the start is told once');
  });

  t.test('a worker that is killed returns, and nothing acknowledged is lost', async (t) => {
    const before = await untilBothAnswer(server, url);
    const killed = before.get(1) ?? 0;
    const device = await register(url);
    const load = startLoad(url, device, 4);
    await until('the load runs', () => (load.acknowledged.size >= 100 ? true : undefined));
    // Frozen first: it takes no connection any more, as in the moment before its end is known.
    process.kill(killed, 'SIGSTOP');
    const waiting = new Set(Array.from({ length: 8 }, () => askAnew(url)));
    for (const asked of waiting) void asked.then(() => waiting.delete(asked));
    const asked = Promise.all(waiting);
    await until('the other one answers', () => (waiting.size <= 1 ? true : undefined));
    process.kill(killed, 'SIGKILL');
    await untilTold(server, 'a worker ended; starting it again');
    t.notOk((await asked).includes(false), 'no connection waits for the dead');
    await load.stop();
    const after = await untilBothAnswer(server, url, [killed]);
    t.equal(after.get(2), before.get(2), 'the other one went on');
    t.strictSame(load.refused, [], 'nobody was refused');
    await assertNothingLost(t, directory.sql, load);
    const retries = await Promise.all([...load.sent].map((key) => logUse(url, device, key)));
    t.strictSame(new Set(retries.map((answer) => answer?.status)), new Set([200]));
    const [balance] = await directory.sql<{ used: string }>('select used from public.balances');
    t.equal(balance?.used, String(load.sent.size), 'each use is charged once');
    await assertLedger(t, directory.sql);
  });

  t.test('on SIGHUP all workers are replaced, and no request is refused', async (t) => {
    const before = await untilBothAnswer(server, url);
    const device = await register(url);
    const statuses = new Set<number>();
    let isReplaced = false;
    const callers = [1, 2, 3, 4].map(async () => {
      while (!isReplaced) for (const [status] of await useApart(url, device, 1)) statuses.add(status);
    });
    server.signal('SIGHUP');
    await untilTold(server, 'all workers were replaced');
    isReplaced = true;
    await Promise.all(callers);
    t.strictSame(statuses, new Set([200]));
    await untilBothAnswer(server, url, [...before.values()]);
    await assertLedger(t, directory.sql);
  });

  t.test('SIGTERM lets requests of all workers finish, then Postgres stops', async (t) => {
    const device = await register(url);
    const holder = await directory.connect();
    await holder.query('begin');
    await holder.query('select from public.balances where subject_id = $1 for update', [device.id]);
    const pending: Promise<Map<number, number>>[] = [];
    const waiting = `select from pg_stat_activity where wait_event_type = 'Lock'`;
    await until('both workers wait', async () => {
      pending.push(useApart(url, device, 1));
      return (await directory.sql(waiting)).length === 2 || undefined;
    });
    server.signal('SIGTERM');
    await until('it is not ready', async () => ((await send(url, '/readyz'))?.status === 200 ? undefined : true));
    await holder.query('commit');
    for (const statuses of await Promise.all(pending)) t.strictSame(statuses, new Map([[200, 1]]));
    t.strictSame(await server.ended, { code: 0, signal: null });
    t.equal(server.stderr(), '');
    t.equal(await directory.postgresPid(), undefined, 'Postgres has ended');
  });
});

t.test('two workers let through no more than one would, and what supervises them may die', async (t) => {
  const directory = await openReadyDirectory(t);
  const limits = { RATE_LIMIT: 'on', RATE_LIMIT_DEVICE: '20' };
  const server = start(t, directory.path, limits);
  const url = await server.ready();
  const device = await register(url);
  t.strictSame(
    await useApart(url, device, 60),
    new Map([
      [200, 20],
      [429, 40],
    ]),
  );
  const answered = server.lines().filter(({ route }) => route === '/api/usage/log');
  t.equal(new Set(answered.map(({ worker }) => worker)).size, 2, 'both were asked');

  const workers = await untilBothAnswer(server, url);
  server.signal('SIGKILL');
  await server.ended;
  const lives = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await until('the workers end', () => ([...workers.values()].some(lives) ? undefined : true));
  const next = start(t, directory.path);
  await next.ready();
  await assertLedger(t, directory.sql);
});

async function takenPort(t: Test): Promise<string> {
  const holder = createServer();
  await new Promise<void>((listening) => holder.listen(0, '127.0.0.1', listening));
  t.after(() => holder.close());
  const address = holder.address();
  return typeof address === 'object' && address !== null ? String(address.port) : '';
}

t.test('each process tells its metrics at a port of its own, and one worker sends what waits', async (t) => {
  const receiver = await openWebhookReceiver(t);
  const directory = await openReadyDirectory(t);
  const port = await findFreePort(3);
  const server = start(t, directory.path, { METRICS_PORT: String(port), WEBHOOK_PRIVATE_ADDRESSES: 'allow' });
  const url = await server.ready();
  const read = async (own: number) => (await fetch(`http://127.0.0.1:${own}/metrics`)).text();
  const hasMaintained = async () =>
    (await read(port)).includes('tokenledger_job_seconds_count{work="maintenance",outcome="ok"}') || undefined;
  await until('maintenance is done', hasMaintained);
  t.notMatch(await read(port), /tokenledger_database_up/);
  for (const worker of [1, 2]) t.match(await read(port + worker), /tokenledger_database_up 1\n/);

  const password = /password: (\S+)/i.exec(server.stdout())?.[1] ?? '';
  const login = await send(url, '/api/admin/login', { body: { username: 'admin', password } });
  const made = await send(url, '/api/admin/webhooks', {
    token: String(login?.body['token']),
    body: { url: receiver.url, events: ['device.registered'] },
  });
  t.equal(made?.status, 201);
  await register(url);
  const [event] = await receiver.get(1);
  t.equal(event?.type, 'device.registered');
  server.signal('SIGHUP');
  await untilTold(server, 'all workers were replaced');
  for (const worker of [1, 2]) t.match(await read(port + worker), /tokenledger_database_up 1\n/);
  await assertLedger(t, directory.sql);
});

t.test('what keeps workers from starting is told once, and Postgres is stopped', async (t) => {
  const directory = await openReadyDirectory(t);
  const PORT = await takenPort(t);
  const server = startServer(t, { cwd: directory.path, environment: { WORKERS: '2', PORT } });
  await assertRefused(t, server, new RegExp(`^PORT ${PORT} on 127\\.0\\.0\\.1 is already in use`));
  t.equal(await directory.postgresPid(), undefined);
});
