import { randomBytes } from 'node:crypto';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { keepLines, readWarnings } from '../../helpers/http/log-lines.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import { isMissing } from '../../helpers/local-program.js';
import { openRedis } from '../../helpers/redis.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

const skip = isMissing('redis-server', '--version');

t.test('limits over two servers', { skip }, async (t) => {
  const redis = await openRedis(t);
  const database = await openTestDatabase(t);
  const environment = {
    JWT_SECRET: randomBytes(32).toString('base64url'),
    RATE_LIMIT: 'on',
    RATE_LIMIT_DEVICE: '10',
    REDIS_URL: redis.url,
  };
  const [log, otherLog] = [keepLines(), keepLines()];
  const one = await openTestServer(t, {
    database,
    environment: { ...environment, LOG_LEVEL: 'info' },
    log: log.destination,
  });
  const two = await openTestServer(t, {
    database,
    environment: { ...environment, LOG_LEVEL: 'info' },
    log: otherLog.destination,
  });
  const read = (server: TestServer, device: TestDevice) => server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  const ready = async (server: TestServer) => (await server.app.inject({ url: '/readyz' })).json<object>();

  /** Sends 30 requests at once over both. On a busy machine Redis may take longer than they wait for it: then again. */
  const readTogether = () =>
    until('Redis answered in time', async () => {
      const countWarnings = () => readWarnings([...log.lines, ...otherLog.lines]).length;
      const [device, before] = [await one.registerDevice(), countWarnings()];
      const counts = await Promise.all([ready(one), ready(two)]);
      const answered = await Promise.all(Array.from({ length: 30 }, (_, n) => read(n % 2 === 0 ? one : two, device)));
      return counts.some((state) => 'notice' in state) || countWarnings() > before ? undefined : answered;
    });

  await t.test('they count together: 30 requests at once over both let 10 through', async (t) => {
    const answers = await readTogether();
    log.lines.length = 0;
    t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10);
    t.equal(answers.filter(({ statusCode }) => statusCode === 429).length, 20);
    t.strictSame(await ready(one), { status: 'ready' });
  });

  await t.test('a Redis that hangs delays nobody: each server counts by itself, and says so', async (t) => {
    const device = await one.registerDevice();
    redis.signal('SIGSTOP');
    const answers = await Promise.all(Array.from({ length: 30 }, () => read(one, device)));
    t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10, 'limits hold in the process');
    t.equal((await read(two, device)).statusCode, 200);
    t.match(await ready(one), { status: 'ready', notice: /^Redis is out of reach/ });
    t.match(readWarnings(log.lines), [/^Redis is out of reach/]);
    redis.signal('SIGCONT');
    await until('the servers count together again', async () => ('notice' in (await ready(one)) ? undefined : true));
  });

  await t.test('so does one that is gone; when it is back they count together again', async (t) => {
    await redis.stop();
    await until('the server noticed', async () => ('notice' in (await ready(two)) ? true : undefined));
    const device = await one.registerDevice();
    for (const server of [one, two]) {
      const answers = await Promise.all(Array.from({ length: 15 }, () => read(server, device)));
      t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10);
    }
    await redis.start();
    for (const server of [one, two]) {
      await until('the server noticed', async () => ('notice' in (await ready(server)) ? undefined : true));
    }
    const answers = await readTogether();
    t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10);
  });

  await t.test('one that answers but refuses to write is passed over without going to and fro', async (t) => {
    const before = readWarnings(log.lines).length;
    await redis.send('CONFIG SET maxmemory 1');
    const device = await one.registerDevice();
    const answers = await Promise.all(Array.from({ length: 15 }, () => read(one, device)));
    t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 10);
    t.match(await ready(one), { notice: /^Redis is out of reach/ });
    await redis.send('CONFIG SET maxmemory 0');
    await until('the server noticed', async () => ('notice' in (await ready(one)) ? undefined : true));
    t.equal(readWarnings(log.lines).length, before + 1);
  });

  await t.test('a server starts without it, and stops with it', async (t) => {
    const lost = await openTestServer(t, {
      database,
      environment: { ...environment, REDIS_URL: 'redis://127.0.0.1:1' },
    });
    const device = await lost.registerDevice();
    t.equal((await read(lost, device)).statusCode, 200);
    t.match(await ready(lost), { notice: /^Redis is out of reach/ });
  });
  await one.verifyLedger(t);
});

t.end();
