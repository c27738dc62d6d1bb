import { randomUUID } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { accountLock, balanceLock, meetAtLock } from '../helpers/db/meet-at-lock.js';
import { createDeferred } from '../helpers/deferred.js';
import { DONE, startStream, stopChunk, textChunk, usageChunk } from '../helpers/fakes/openrouter.js';
import { assertCounted, whileRedisAnswers } from '../helpers/http/counted-together.js';
import { openStream } from '../helpers/http/event-stream.js';
import { cannotServe, openManyServers } from '../helpers/http/many-servers.js';
import {
  assertLedger,
  assertNothingLost,
  type Device,
  logUse,
  register,
  send,
  startLoad,
} from '../helpers/http/server-load.js';
import t from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const LIMIT = 25;

t.test('three servers behind nginx, over PgBouncer', { skip: cannotServe('nginx') }, async (t) => {
  const environment = {
    ...{ RATE_LIMIT: 'on', RATE_LIMIT_REGISTRATION: String(LIMIT), RATE_LIMIT_DEVICE: '100000000' },
    ...{ RATE_LIMIT_ADDRESS: '100000000', RATE_LIMIT_USER: '100000000', RATE_LIMIT_ACCOUNT: '100000000' },
    ...{ MONTHLY_RESET: 'auto', DEFAULT_DEVICE_TOKENS: '1000000', DEFAULT_USER_TOKENS: '1000' },
  };
  const ageThePeriod = `update periods set started_at = started_at - interval '32 days'`;
  const servers = await openManyServers(t, 'nginx', 3, environment, (database) => database.sql(ageThePeriod));
  const { database, upstream, url, urls } = servers;
  const toUrl = (n: number) => urls[n % urls.length] ?? '';
  const fromAll = <T>(count: number, act: (url: string) => Promise<T>) =>
    Promise.all(Array.from({ length: count }, (_, n) => act(toUrl(n))));

  /** Records a use as clients do: again, with its key, where a server has too much to do. */
  const use = async (server: string, device: Device, key: string = randomUUID()) => {
    for (;;) {
      const answer = await logUse(server, device, key);
      if (answer?.status !== 503) return answer;
    }
  };
  const registerPerson = async () => {
    const body = { email: `${randomUUID()}@example.com`, password: randomUUID() };
    const answer = await send(url, '/api/auth/register', { body });
    const { id }: { id?: string } = Object(answer?.body['user']);
    return { id: String(id), token: String(answer?.body['token']) };
  };
  const login = { username: 'admin', password: servers.adminPassword };
  const admin = String((await send(url, '/api/admin/login', { body: login }))?.body['token']);
  const setBalance = (device: Device, tokens: number) =>
    send(url, '/api/admin/allocate', { token: admin, body: { device_id: device.id, tokens: tokens - 1_000_000 } });

  t.test('what is due when all of them start is done once', async (t) => {
    const periods = () => database.sql('select from periods');
    await until('a period began', async () => ((await periods()).length > 1 ? true : undefined));
    t.equal((await periods()).length, 2);
  });

  t.test('uses of one device through all of them are charged as far as its tokens go, each key once', async (t) => {
    const device = await register(url);
    await setBalance(device, 40);
    const uses = await meetAtLock(database, balanceLock(device.id, 3), () =>
      fromAll(90, (server) => use(server, device)),
    );
    const statuses = uses.map((answer) => answer?.status);
    t.equal(statuses.filter((status) => status === 200).length, 40);
    t.equal(statuses.filter((status) => status === 403).length, 50);

    const [other, key] = [await register(url), randomUUID()];
    const replays = await meetAtLock(database, balanceLock(other.id, 3), () =>
      fromAll(30, (server) => use(server, other, key)),
    );
    t.strictSame(new Set(replays.map((answer) => answer?.status)), new Set([200]));
    t.equal(new Set(replays.map((answer) => JSON.stringify(answer?.body))).size, 1, 'all answers are equal');
    t.equal((await database.sql('select from usage_events where subject_id = $1', [other.id])).length, 1);
    await assertLedger(t, database.sql);
  });

  t.test('one use of a person, recorded through all of them at once, is one', async (t) => {
    const person = await registerPerson();
    const use = { provider: 'claude', model: 'sonnet', inputTokens: 3, outputTokens: 4, timestamp: Date.now() };
    const body = { ...use, event_id: randomUUID() };
    const answers = await meetAtLock(database, accountLock(person.id, 3), () =>
      fromAll(15, (server) => send(server, '/api/usage', { token: person.token, body })),
    );
    t.strictSame(new Set(answers.map((answer) => answer?.status)), new Set([200, 201]));
    t.equal(new Set(answers.map((answer) => answer?.body['id'])).size, 1);
    t.equal((await database.sql('select from usage_events where user_id = $1', [person.id])).length, 1);
    await assertLedger(t, database.sql);
  });

  t.test('a hold of one server is settled by another, and a third answers the same again', async (t) => {
    const device = await register(url);
    const check = { model_type: 'gpt-5', reserve: true };
    const held = await send(toUrl(0), '/api/devices/check-can-use', { token: device.token, body: check });
    const { reservation_id } = held?.body ?? {};
    t.type(reservation_id, 'string');
    const settle = { token: device.token, key: randomUUID(), body: { model_type: 'gpt-5', reservation_id } };
    const [settled, again] = [
      await send(toUrl(1), '/api/usage/log', settle),
      await send(toUrl(2), '/api/usage/log', settle),
    ];
    t.equal(settled?.status, 200);
    t.strictSame(again?.body, settled?.body);
    const sums = await database.sql('select used::integer, reserved::integer from balances where subject_id = $1', [
      device.id,
    ]);
    t.strictSame(sums, [{ used: 1, reserved: 0 }]);
    await assertLedger(t, database.sql);
  });

  t.test('what one of them is told counts at the others from the next request on', async (t) => {
    const [device, person] = [await register(url), await registerPerson()];
    const price = { model_costs: [{ model: 'gpt-5', cost: 7 }] };
    t.match(await logUse(toUrl(1), device), { status: 200, body: { tokens_used: 1 } });
    t.match(await send(toUrl(0), '/api/admin/model-costs', { method: 'PUT', token: admin, body: price }), {
      status: 200,
    });
    for (const server of urls) t.match(await logUse(server, device), { status: 200, body: { tokens_used: 7 } });

    const plan = { monthly_tokens: 4_321, device_limit: 9 };
    await send(toUrl(0), '/api/admin/plans/pro', { method: 'PUT', token: admin, body: plan });
    for (const server of urls) {
      const plans = await send(server, '/api/admin/plans', { token: admin });
      t.match(JSON.stringify(plans?.body), /"monthly_tokens":4321/);
    }

    await send(toUrl(0), '/api/admin/block-device', { token: admin, body: { device_id: device.id, blocked: true } });
    for (const server of urls) t.match(await logUse(server, device), { status: 403, body: { code: 'DEVICE_BLOCKED' } });

    const read = (server: string) => send(server, '/api/users/me', { token: person.token });
    for (const server of urls) t.match(await read(server), { status: 200 });
    t.match(await send(toUrl(0), '/api/auth/logout', { method: 'POST', token: person.token, body: {} }), {
      status: 200,
    });
    for (const server of urls) t.match(await read(server), { status: 401 });
    await assertLedger(t, database.sql);
  });

  t.test(
    'a settings stream through the proxy hears what another server was told, and is resumed at a third',
    async (t) => {
      const { token } = await registerPerson();
      const push = (server: string, value: number) => {
        const changes = { theme: { value, updated_at: Date.now() } };
        return send(server, '/api/sync/push', { token, body: { device: 'one', base_version: 0, changes } });
      };
      const streams = await Promise.all(urls.map((server) => openStream(t, server, token)));
      const through = await openStream(t, url, token);
      t.match(await push(toUrl(1), 1), { status: 200 });
      const [first] = await Promise.all([through, ...streams].map((stream) => stream.next('settings', { version: 1 })));
      const { id } = await until('an event has an id', () =>
        through.events().findLast((event) => event.id !== undefined),
      );
      t.ok(first && id);
      for (const stream of [through, ...streams]) stream.close();
      await push(toUrl(0), 2);
      const resumed = await openStream(t, toUrl(2), token, id);
      await resumed.next('settings', { version: 2 });
      t.strictSame(
        resumed.events().map(({ event }) => event),
        ['settings'],
        'and nothing it knew',
      );
      resumed.close();
    },
  );

  t.test('a person’s ten streams are counted by all of them together', async (t) => {
    const refusals = await whileRedisAnswers(urls, async () => {
      const { token } = await registerPerson();
      const streams = await Promise.all(Array.from({ length: 10 }, (_, n) => openStream(t, toUrl(n), token)));
      const refused = await Promise.all(urls.map((server) => openStream(t, server, token).catch(String)));
      streams[0]?.close();
      const next = await until('there is room again', () => openStream(t, toUrl(1), token).catch(() => undefined));
      for (const stream of [...streams, next]) stream.close();
      return refused;
    });
    t.strictSame(refusals, Array(3).fill('Error: the stream was answered 429'));
  });

  t.test('a chat comes through word by word, and is billed where its client goes away', async (t) => {
    const person = await registerPerson();
    const [first, second] = [createDeferred(), createDeferred()];
    upstream.answer(async (response) => {
      startStream(response);
      response.write(textChunk('one ', 'gen-1', 'Google'));
      await first.promise;
      response.write(textChunk('two ', 'gen-1', 'Google'));
      await second.promise;
      response.end(stopChunk('gen-1', 'Google') + usageChunk(12, 8, 'gen-1', 'Google') + DONE);
    });
    const asked = httpRequest(`${url}/api/chat/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${person.token}`, 'content-type': 'application/json' },
    });
    asked.on('error', () => {});
    asked.end(JSON.stringify({ messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 50 }));
    const answer = await new Promise<IncomingMessage>((resolve) => asked.once('response', resolve));
    let heard = '';
    answer
      .on('error', () => {})
      .on('data', (data) => {
        heard += String(data);
      });
    await until('the first word is there', () => heard.includes('one') || undefined);
    first.resolve();
    await until('the second is there', () => heard.includes('two') || undefined);
    asked.destroy();
    second.resolve();
    await until('it is settled', async () => {
      const sql = `select from usage_events where user_id = $1 and source = 'chat'`;
      return (await database.sql(sql, [person.id]))[0];
    });
    await assertLedger(t, database.sql);
  });

  t.test('clients are told apart by their addresses, and counted by all of them together', async (t) => {
    await assertCounted(t, servers, LIMIT);
  });

  t.test('one that is killed and one that is stopped under load cost nobody a use', async (t) => {
    const device = await register(url);
    const load = startLoad(url, device, 12);
    const isGoingOn = async (uses: number) => {
      const enough = load.acknowledged.size + uses;
      await until('uses are recorded', () => load.acknowledged.size >= enough || undefined);
    };
    await isGoingOn(100);
    servers.serverAt(0).signal('SIGKILL');
    await isGoingOn(100);
    await servers.startAgain(0);
    servers.serverAt(1).signal('SIGTERM');
    await servers.serverAt(1).ended;
    await isGoingOn(100);
    await servers.startAgain(1);
    await load.stop();
    t.strictSame(
      [...new Set(load.refused.map(({ status }) => status))].filter((status) => status !== 503),
      [],
    );
    t.ok(
      load.refused.every(({ headers }) => /^\d+$/.test(headers.get('retry-after') ?? '')),
      'which say when to ask again',
    );
    await assertNothingLost(t, (text) => database.sql(text), load);
    const events = await database.sql('select from usage_events where subject_id = $1', [device.id]);
    t.equal(events.length, load.sent.size, 'each key is one use');
    await assertLedger(t, database.sql);
  });
});

t.end();
