import { openTestCluster } from '../helpers/db/test-database.js';
import { assertLedger, assertNothingLost, register, send, startLoad } from '../helpers/http/server-load.js';
import { openDirectory, startServer } from '../helpers/http/server-process.js';
import { testEnvironment } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

t.test('while Postgres is away requests get 503, and a server goes on when it is back', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestCluster(t);
  const environment = testEnvironment(database, { DEFAULT_DEVICE_TOKENS: '1000000' });
  const server = startServer(t, { cwd, environment });
  const url = await server.ready();
  const device = await register(url);
  t.match(await send(url, '/readyz'), { status: 200 });
  const load = startLoad(url, device);
  await until('the load runs', () => (load.acknowledged.size >= 300 ? true : undefined));

  await database.cluster.stop();
  await until('uses are refused', () => (load.refused.length > 0 ? true : undefined));
  const readiness = await send(url, '/readyz');
  t.match(readiness, { status: 503, body: { code: 'SERVICE_UNAVAILABLE' } });
  t.match(readiness?.headers.get('retry-after'), /^\d+$/);
  t.match(await send(url, '/healthz'), { status: 200, body: { status: 'ok' } });
  const registration = { device_name: 'Test', hardware_fingerprint: 'meanwhile' };
  const refused = await send(url, '/api/devices/register', { body: registration });
  t.match(refused, { status: 503, body: { code: 'SERVICE_UNAVAILABLE' } });

  await database.cluster.restart();
  const before = load.acknowledged.size;
  await until('uses are recorded again', () => (load.acknowledged.size >= before + 300 ? true : undefined));
  await load.stop();
  t.match(await send(url, '/readyz'), { status: 200 });
  t.match(await send(url, '/api/devices/register', { body: registration }), { status: 201 });

  t.strictSame(new Set(load.refused.map(({ status }) => status)), new Set([503]));
  for (const { headers, body } of [load.refused.at(0), load.refused.at(-1)].flatMap((answer) => answer ?? [])) {
    const sentence = 'Temporarily unavailable, try again later';
    t.match(headers.get('retry-after'), /^\d+$/);
    t.strictSame(body, { error: sentence, code: 'SERVICE_UNAVAILABLE', message: sentence, detail: sentence });
  }
  t.strictSame(load.health, new Set([200]));
  await assertNothingLost(t, database.sql, load);
  const [count] = await database.sql<{ count: string }>('select count(*) from public.usage_events');
  t.equal(count?.count, String(load.sent.size), 'each key is exactly one event, however often it was sent');
  await assertLedger(t, database.sql);

  server.signal('SIGTERM');
  t.strictSame(await server.ended, { code: 0, signal: null });
  const [alive] = await database.sql<{ alive: boolean }>('select true as alive');
  t.equal(alive?.alive, true, 'a database that is not its own is not stopped');
});
