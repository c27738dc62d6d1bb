import {
  openChatServer,
  parseEvents,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { completion, DONE, startStream, textChunk, usageChunk, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);

t.test('a hundred streams at once on a balance for one: one is answered', async (t) => {
  const user = await userWith(server, 60);
  const released = createDeferred();
  const asked = server.upstream.requests.length;
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(textChunk('Hello'));
    await released.promise;
    response.end(usageChunk(12, 8) + DONE);
  });
  const body = { ...QUESTION, max_tokens: 40 };
  const answers = Array.from({ length: 100 }, () => user.as('POST', '/api/chat/stream', body));
  const refused = new Set<number>();
  await until('99 are refused', async () => {
    await Promise.race([Promise.any(answers.map((answer) => answer.then(() => {}))), released.promise]);
    const [row] = await server.database.sql<{ held: number }>(
      `select count(*)::integer as held from reservations where status = 'held' and subject_id = $1`,
      [user.id],
    );
    return row?.held === 1 && server.upstream.requests.length === asked + 1 ? true : undefined;
  });
  released.resolve();
  const statuses = (await Promise.all(answers)).map(({ statusCode }) => statusCode);
  for (const status of statuses) refused.add(status);
  t.equal(statuses.filter((status) => status === 200).length, 1);
  t.equal(statuses.filter((status) => status === 403).length, 99);
  t.equal(server.upstream.requests.length, asked + 1);
  t.strictSame(await readBalance(server, user), { allocated: 60, used: 20, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('a stream longer than its hold goes on as long as tokens are left', async (t) => {
  const user = await userWith(server, 100_000);
  server.upstream.answer(async (response) => {
    startStream(response);
    for (let count = 0; count < 9_000; count += 1) response.write(textChunk('word '));
    response.end(usageChunk(12, 9_000) + DONE);
  });
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.notOk(Object.hasOwn(server.upstream.requests.at(-1)?.body ?? {}, 'max_tokens'), 'upstream was set no limit');
  t.match(parseTokenUpdate(payload), { tokens_left: 100_000 - 9_012, tokens_used: 9_012 });
  const [hold] = await server.database.sql<{ amount: string }>(
    'select amount from reservations where subject_id = $1',
    [user.id],
  );
  t.ok(Number(hold?.amount) >= 9_000, `the hold grew to ${hold?.amount}`);
  await server.verifyLedger(t);
});

t.test(
  'where nothing is left to grow by, the stream ends cleanly: length, the balance with its reason, the end',
  async (t) => {
    const user = await userWith(server, 5_000);
    const released = createDeferred();
    server.upstream.answer(async (response) => {
      startStream(response);
      for (let count = 0; count < 500; count += 1) response.write(textChunk('word '));
      await released.promise;
      for (let count = 0; count < 20_000 && !response.destroyed; count += 1) {
        if (!response.write(textChunk('word '))) await new Promise((turn) => setImmediate(turn));
      }
      response.end(usageChunk(12, 20_500) + DONE);
    });
    const stream = user.as('POST', '/api/chat/stream', QUESTION);
    await untilTrue(async () => (await readBalance(server, user)).reserved > 2_000);
    released.resolve();
    const { payload } = await stream;
    const [cut = '{}', update = '{}', end] = parseEvents(payload).slice(-3);
    t.match(JSON.parse(cut), { object: 'chat.completion.chunk', choices: [{ index: 0, finish_reason: 'length' }] });
    t.match(JSON.parse(update), { type: 'token_update', reason: 'quota' });
    t.equal(end, '[DONE]');
    const { used, reserved, debt } = await readBalance(server, user);
    t.ok(used > 4_500 && used <= 5_000, `${used} were used`);
    t.equal(reserved, 0);
    t.ok(debt < 50, `${debt} are owed`);
    await server.verifyLedger(t);
  },
);

t.test('an upstream that does not keep the limit it was set is stopped', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(async (response) => {
    startStream(response);
    for (let count = 0; count < 20_000 && !response.destroyed; count += 1) {
      if (!response.write(textChunk('internationalisation '))) await new Promise((turn) => setImmediate(turn));
    }
    response.end(usageChunk(12, 20_000) + DONE);
  });
  const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 500 });
  const { tokens_left: left, reason } = parseTokenUpdate(payload) ?? {};
  t.equal(reason, 'quota');
  t.ok(Number(left) < 50, `${left} are left`);
  await server.verifyLedger(t);
});

t.test('what a provider bills beyond the hold becomes a debt, which the next tokens pay', async (t) => {
  const user = await userWith(server, 100);
  server.upstream.answer(whole(completion(60, 90)));
  const first = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, max_tokens: 20 });
  t.match(first.json(), { tokens_left: 0, tokens_used: 150 });
  t.strictSame(await readBalance(server, user), { allocated: 100, used: 100, reserved: 0, debt: 50 });
  t.match((await user.as('GET', '/api/users/me/balance')).json(), { remaining: 0, debt: 50 });
  t.equal((await user.as('POST', '/api/chat/stream', QUESTION)).statusCode, 403);
  await server.verifyLedger(t);

  const grant = (tokens: number) =>
    server.database.sql(
      `with entry as (
         insert into ledger_entries (subject_id, kind, amount, period, actor) values ($1, 'grant', $2, 1, 'test')
       ), pool as (
         update budgets set allocated = allocated + $2 where subject_kind = 'user'
       )
       update balances set allocated = allocated + $2 where subject_id = $1`,
      [user.id, tokens],
    );
  await grant(30);
  t.strictSame(await readBalance(server, user), { allocated: 130, used: 130, reserved: 0, debt: 20 });
  await grant(100);
  t.strictSame(await readBalance(server, user), { allocated: 230, used: 150, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('an idempotency key is good for one request, unless nothing was billed on it', async (t) => {
  const user = await userWith(server, 1_000);
  const ask = (body: object) =>
    user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, ...body }, { 'idempotency-key': 'once' });
  server.upstream.answer(whole({}, 500));
  t.equal((await ask({})).statusCode, 502);
  server.upstream.answer(whole(completion()));
  t.equal((await ask({})).statusCode, 200);
  const again = await ask({});
  t.match([again.statusCode, again.json().code], [409, 'ALREADY_ANSWERED']);
  const other = await ask({ max_tokens: 7 });
  t.match([other.statusCode, other.json().code], [422, 'IDEMPOTENCY_MISMATCH']);
  t.equal((await readBalance(server, user)).used, 20);
  t.equal((await readGenerations(server, user)).length, 2);
  await server.verifyLedger(t);
});

t.test('where one request asks for several answers, all of them are held for', async (t) => {
  const user = await userWith(server, 300);
  server.upstream.answer(whole(completion()));
  const body = { ...QUESTION, model: 'openai/gpt-4', n: 3, max_tokens: 1_000 };
  const response = await user.as('POST', '/api/v1/chat/completions', body);
  t.equal(response.statusCode, 200, response.payload);
  const limit = Number(server.upstream.requests.at(-1)?.body['max_tokens']);
  t.ok(limit > 50 && limit * 3 < 300, `each may have ${limit}`);
  await server.verifyLedger(t);
});

t.end();
