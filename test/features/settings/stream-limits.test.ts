import { setTimeout as delay } from 'node:timers/promises';
import { createChangeFeed } from '../../../src/features/settings/change-feed.js';
import { createApiKey, registerUser } from '../../helpers/accounts.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { abandonedStream, openStream, refusedStream } from '../../helpers/http/event-stream.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';
import { until, untilTrue } from '../../helpers/until.js';

const server = await openTestServer(t);
const { database } = server;
const url = await server.listen();

t.test('a person has ten streams at most; one that is closed makes room', async (t) => {
  const user = await registerUser(server);
  const streams = await Promise.all(Array.from({ length: 10 }, () => openStream(t, url, user.token)));
  t.strictSame(await refusedStream(url, user.token), { status: 429, code: 'TOO_MANY_STREAMS' });
  const other = await registerUser(server);
  (await openStream(t, url, other.token)).close();
  streams[0]?.close();
  await untilTrue(async () => {
    try {
      await openStream(t, url, user.token);
      return true;
    } catch {
      return false;
    }
  });
});

t.test('listeners cost one question for all of them together, and none when there are none', async (t) => {
  const own = await openTestServer(t);
  const ownUrl = await own.listen();
  const calls = t.capture(own.backend.database, 'call', own.backend.database.call);
  const questions = () => calls().filter(({ args: [name] }) => String(name) === 'changed_states');
  const people = await Promise.all(Array.from({ length: 3 }, () => registerUser(own)));
  const streams = await Promise.all(
    people.flatMap(({ token }) => Array.from({ length: 8 }, () => openStream(t, ownUrl, token))),
  );
  const asked: number[] = [];
  const collect = () => {
    for (const { args } of questions()) {
      const { p_listeners }: { p_listeners: unknown[] } = JSON.parse(JSON.stringify(args[1]));
      asked.push(p_listeners.length);
    }
    return asked;
  };
  await untilTrue(() => collect().filter((count) => count === 24).length >= 4);
  t.strictSame(
    asked.slice(asked.indexOf(24)).filter((count) => count !== 24),
    [],
    'always about all of them',
  );

  for (const stream of streams) stream.close();
  await Promise.all(streams.map(({ ended }) => ended));
  await Promise.all(people.map(({ token }) => abandonedStream(ownUrl, token)));
  // Timers of one process come in their order: the feed's own, had it one, would ring first.
  await until('nobody listens and nothing is asked', async () => {
    questions();
    await delay(1_000);
    return questions().length === 0 || undefined;
  });
});

t.test('a client that does not read is dropped', async (t) => {
  const feed = createChangeFeed(server.backend.database, server.app.log);
  t.after(feed.close);
  const user = await registerUser(server);
  const [session] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [user.id]);
  const caller = { id: user.id, session_id: session?.id ?? '' };
  const stream = await feed.listen(caller, undefined, Number.POSITIVE_INFINITY);
  const { put } = createSettingsClient(user);
  await untilTrue(async () => {
    await put({});
    return stream.destroyed;
  });
  t.ok(stream.destroyed);
});

t.test('what is changed through one server is told by every other', async (t) => {
  const second = await openTestServer(t, { database });
  const user = await registerUser(server);
  const stream = await openStream(t, await second.listen(), await createApiKey(user));
  await createSettingsClient(user).put({ n: 1 });
  await stream.next('settings', { version: 1 });
});

t.test('streams outlast the database', async (t) => {
  const ownDatabase = await openTestCluster(t);
  const own = await openTestServer(t, { database: ownDatabase });
  const ownUrl = await own.listen();
  const user = await registerUser(own);
  const stream = await openStream(t, ownUrl, user.token);
  await stream.next('settings', { version: 0 });
  await ownDatabase.cluster.stop();
  await untilTrue(async () => (await own.app.inject('/readyz')).statusCode === 503);
  t.strictSame(await refusedStream(ownUrl, user.token), { status: 503, code: 'SERVICE_UNAVAILABLE' });
  await ownDatabase.cluster.restart();
  await createSettingsClient(user).put({ n: 1 });
  await stream.next('settings', { version: 1 });
  t.ok(stream.isOpen());
});

t.test('a server that closes ends its streams, and takes no new ones', async (t) => {
  const own = await openTestServer(t);
  const ownUrl = await own.listen();
  const user = await registerUser(own);
  const streams = await Promise.all(Array.from({ length: 5 }, () => openStream(t, ownUrl, user.token)));
  await own.app.close();
  for (const stream of streams) {
    await stream.ended;
    t.ok(stream.response.complete);
  }
});

t.end();
