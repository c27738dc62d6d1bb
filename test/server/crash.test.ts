import { assertLedger, assertNothingLost, logUse, register, startLoad } from '../helpers/http/server-load.js';
import { openReadyDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const environment = { DEFAULT_DEVICE_TOKENS: '1000000' };

t.test('kill -9 of the server loses nothing acknowledged, and retries are charged once', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path, environment });
  const url = await server.ready();
  const device = await register(url);
  const load = startLoad(url, device);
  await until('the load runs', () => (load.acknowledged.size >= 300 ? true : undefined));
  const postgres = await directory.postgresPid();
  server.signal('SIGKILL');
  t.strictSame(await server.ended, { code: null, signal: 'SIGKILL' });
  await load.stop();
  t.ok(load.sent.size > load.acknowledged.size, 'some were under way');
  t.strictSame(load.refused, []);

  const next = startServer(t, { cwd: directory.path, environment });
  const again = await next.ready();
  t.match(postgres, Number);
  t.equal(await directory.postgresPid(), postgres, 'the orphaned Postgres is adopted');
  await assertNothingLost(t, directory.sql, load);
  await assertLedger(t, directory.sql);

  const retries = await Promise.all(
    [...load.sent].map(async (key) => [key, await logUse(again, device, key)] as const),
  );
  t.strictSame(new Set(retries.map(([, answer]) => answer?.status)), new Set([200]));
  for (const [key, answer] of retries) {
    const event = load.acknowledged.get(key);
    if (event !== undefined && event !== answer?.body['event_id']) t.fail(`${key} was answered with another event`);
  }
  const [count] = await directory.sql<{ count: string }>('select count(*) from public.usage_events');
  t.equal(count?.count, String(load.sent.size), 'each key is exactly one event');
  const [balance] = await directory.sql<{ used: string }>('select used from public.balances');
  t.equal(balance?.used, String(load.sent.size));
  await assertLedger(t, directory.sql);

  next.signal('SIGTERM');
  t.strictSame(await next.ended, { code: 0, signal: null });
  t.equal(await directory.postgresPid(), undefined, 'an adopted Postgres is stopped, too');
});

t.test('kill -9 of Postgres is an outage of moments that loses nothing acknowledged', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path, environment });
  const url = await server.ready();
  const device = await register(url);
  const load = startLoad(url, device);
  await until('the load runs', () => (load.acknowledged.size >= 300 ? true : undefined));
  const killed = await until('Postgres runs', directory.postgresPid);
  process.kill(killed, 'SIGKILL');
  await until('uses are refused', () => (load.refused.length > 0 ? true : undefined));
  const before = load.acknowledged.size;
  await until('uses are recorded again', () => (load.acknowledged.size >= before + 300 ? true : undefined));
  await load.stop();

  t.not(await directory.postgresPid(), killed, 'the server started Postgres again');
  t.strictSame(new Set(load.refused.map(({ status }) => status)), new Set([503]));
  for (const { headers, body } of [load.refused.at(0), load.refused.at(-1)].flatMap((answer) => answer ?? [])) {
    t.match(headers.get('retry-after'), /^\d+$/);
    t.match(body, { code: 'SERVICE_UNAVAILABLE', error: String });
  }
  t.strictSame(load.health, new Set([200]), 'the server itself was healthy all the time');
  await assertNothingLost(t, directory.sql, load);
  const [count] = await directory.sql<{ count: string }>('select count(*) from public.usage_events');
  t.equal(count?.count, String(load.sent.size), 'each key is exactly one event, however often it was sent');
  await assertLedger(t, directory.sql);

  server.signal('SIGTERM');
  t.strictSame(await server.ended, { code: 0, signal: null });
  t.equal(await directory.postgresPid(), undefined);
});

t.test('a server asked to stop while Postgres is dead leaves none behind', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path });
  await server.ready();
  process.kill(await until('Postgres runs', directory.postgresPid), 'SIGKILL');
  server.signal('SIGTERM');
  t.strictSame(await server.ended, { code: 0, signal: null });
  t.equal(await directory.postgresPid(), undefined);
});
