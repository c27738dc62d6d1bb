import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { type BatchAnswer, countEvents, createUsage, readId } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t, { environment: { RETENTION_MONTHS: '2' } });
const MINUTE_MS = 60_000;

/** The start of the oldest month still kept. */
const [horizon] = await server.database.sql<{ ms: number }>(
  `select extract(epoch from date_trunc('month', now(), 'UTC') - interval '2 months')::float8 * 1000 as ms`,
);
const horizonMs = horizon?.ms ?? 0;

t.test(
  'a batch of 1,000 with bad ones among them gets a verdict each, in order, and the good ones are kept',
  async (t) => {
    const user = await registerUser(server);
    const now = Date.now();
    const first = await user.as('POST', '/api/usage', createUsage({ timestamp: now - 4, event_id: 'sent before' }));
    const good = createUsage({ timestamp: now });
    const known: [unknown, object][] = [
      [good, { recorded: true, duplicate: false }],
      [good, { recorded: true, duplicate: true }],
      [
        { ...good, totalTokens: 1 },
        { recorded: true, duplicate: true },
      ],
      [
        { ...good, provider: 'Chat GPT' },
        { recorded: false, code: 'VALIDATION_FAILED', error: /^provider / },
      ],
      [null, { recorded: false, code: 'VALIDATION_FAILED', error: /^event / }],
      ['text', { recorded: false, code: 'VALIDATION_FAILED' }],
      [[good], { recorded: false, code: 'VALIDATION_FAILED' }],
      [
        { ...good, inputTokens: {} },
        { recorded: false, code: 'VALIDATION_FAILED', error: /^inputTokens / },
      ],
      [
        { ...good, timestamp: now + 25 * 60 * MINUTE_MS },
        { recorded: false, code: 'TIMESTAMP_OUT_OF_RANGE' },
      ],
      [
        { ...good, timestamp: -1 },
        { recorded: false, code: 'VALIDATION_FAILED' },
      ],
      [
        createUsage({ timestamp: now - 4, event_id: 'sent before' }),
        { id: readId(first), recorded: true, duplicate: true },
      ],
      [createUsage({ timestamp: now - 5, event_id: 'sent before' }), { recorded: false, code: 'IDEMPOTENCY_MISMATCH' }],
      [
        { ...good, event_id: 'twice' },
        { recorded: true, duplicate: false },
      ],
      [
        { ...good, event_id: 'twice' },
        { recorded: true, duplicate: true },
      ],
      [
        { ...good, event_id: 'twice', model: 'other' },
        { recorded: false, code: 'IDEMPOTENCY_MISMATCH' },
      ],
      [
        { ...good, event_id: 'refused', outputTokens: 'some' },
        { recorded: false, code: 'VALIDATION_FAILED' },
      ],
      [
        { ...good, event_id: 'refused' },
        { recorded: true, duplicate: false },
      ],
    ];
    const rest = Array.from({ length: 1_000 - known.length }, (_, n) => createUsage({ timestamp: now - 10 - n }));
    const events = [...rest.slice(0, 500), ...known.map(([event]) => event), ...rest.slice(500)];
    const response = await user.as('POST', '/api/usage', { events });
    t.equal(response.statusCode, 200);
    const { results, ...counts } = response.json<BatchAnswer>();
    t.strictSame(counts, { recorded: rest.length + 3, duplicates: 4, refused: known.length - 7 });
    t.equal(results.length, 1_000);
    for (const [n, [, verdict]] of known.entries()) t.match(results[500 + n], verdict, `verdict ${n}`);
    t.equal(results[501]?.id, results[500]?.id, 'the second of two equal ones has the id of the first');
    for (const [n, event] of [...rest.entries()].filter(([n]) => n % 100 === 0)) {
      const { id = '' } = results[n < 500 ? n : n + known.length] ?? {};
      const rows = await server.database.sql('select occurred_at from usage_events where id = $1', [id]);
      t.strictSame(rows, [{ occurred_at: new Date(event.timestamp) }], 'the id is that of the event sent there');
    }
    t.equal(await countEvents(server, user.id), 1 + rest.length + 3);

    const again = (await user.as('POST', '/api/usage', { events })).json<BatchAnswer>();
    t.match(again, { recorded: 0, duplicates: rest.length + 7, refused: known.length - 7 });
    t.strictSame(
      again.results.map(({ id }) => id),
      results.map(({ id }) => id),
      'sent again, each has the same id',
    );
    t.equal(await countEvents(server, user.id), 1 + rest.length + 3);
    await server.verifyLedger(t);
  },
);

t.test('a batch of one, or of 1,000 of full length, is taken; of none or of 1,001 it is refused', async (t) => {
  const user = await registerUser(server);
  t.match((await user.as('POST', '/usage', { events: [createUsage()] })).json(), { recorded: 1 });
  const now = Date.now();
  const long = Array.from({ length: 1_001 }, (_, n) =>
    createUsage({ timestamp: now - 1 - n, url: `https://x.ai/${'x'.repeat(2_035)}`, model: 'm'.repeat(200) }),
  );
  t.match((await user.as('POST', '/usage', { events: long.slice(1) })).json(), { recorded: 1_000, refused: 0 });
  for (const events of [[], long]) {
    const refused = await user.as('POST', '/usage', { events });
    t.equal(refused.statusCode, 400);
    t.match(refused.json(), { code: 'VALIDATION_FAILED' });
  }
  const heavy = await user.as('POST', '/usage', { events: [{ ...createUsage(), url: 'x'.repeat(5 * 1024 * 1024) }] });
  t.equal(heavy.statusCode, 413);
  t.equal(await countEvents(server, user.id), 1_001);
});

t.test('an event whose text or form cannot be kept at all does not keep its neighbours either', async (t) => {
  const server = await openTestServer(t);
  const user = await registerUser(server);
  const deep: unknown = JSON.parse(`${'['.repeat(40)}${']'.repeat(40)}`);
  const sent = [
    createUsage({ event_id: 'first' }),
    createUsage({ event_id: 'nul', model: 'a\0b' }),
    createUsage({ event_id: 'lone', model: 'cut in two \ud83d' }),
    { ...createUsage({ event_id: 'deep' }), deep },
    createUsage({ event_id: 'last' }),
  ];
  const batch = await user.as('POST', '/api/usage', { events: sent });
  t.match(batch.json(), { recorded: 2, refused: 3, duplicates: 0 });
  t.match(batch.json<BatchAnswer>().results, [
    { recorded: true },
    { recorded: false, code: 'VALIDATION_FAILED', error: 'text must not contain NUL or lone surrogates' },
    { recorded: false, code: 'VALIDATION_FAILED', error: 'text must not contain NUL or lone surrogates' },
    { recorded: false, code: 'VALIDATION_FAILED', error: /nested deeper/ },
    { recorded: true },
  ]);
  t.equal((await user.as('POST', '/api/usage', sent[1])).statusCode, 400, 'alone it is refused as everywhere');
  const beside = await user.as('POST', '/api/usage', { events: [createUsage()], note: 'a\0b' });
  t.equal(beside.statusCode, 400, 'what stands beside the events is looked at as everywhere');
  await server.verifyLedger(t);
});

t.test('a key for a whole batch is refused, as it would be that of none of its events', async (t) => {
  const user = await registerUser(server);
  const refused = await user.as('POST', '/api/usage', { events: [createUsage()] }, { 'idempotency-key': 'k' });
  t.equal(refused.statusCode, 400);
  t.match(refused.json(), { code: 'VALIDATION_FAILED', error: /event_id/ });
  t.equal(await countEvents(server, user.id), 0);
});

t.test(
  'five minutes ahead and the whole of retention are kept as they are; older is counted, a day ahead refused',
  async (t) => {
    const user = await registerUser(server);
    const taken = [Date.now() + 4.5 * MINUTE_MS, horizonMs, horizonMs + 1, Date.now() - 40 * 24 * 60 * MINUTE_MS];
    for (const timestamp of taken) {
      const kept = await user.as('POST', '/api/usage', createUsage({ timestamp }));
      t.strictSame(kept.json(), { id: readId(kept), recorded: true, duplicate: false }, String(timestamp));
    }
    for (const timestamp of [horizonMs - 1, 0]) {
      const counted = await user.as('POST', '/api/usage', createUsage({ timestamp }));
      t.match(counted.json(), { recorded: true, summary_only: true });
    }
    for (const timestamp of [Date.now() + 1_441 * MINUTE_MS, 253_402_300_799_999]) {
      const refused = await user.as('POST', '/api/usage', createUsage({ timestamp }));
      t.equal(refused.statusCode, 400, String(timestamp));
      t.match(refused.json(), { code: 'TIMESTAMP_OUT_OF_RANGE' });
      const batch = await user.as('POST', '/api/usage', { events: [createUsage({ timestamp }), createUsage()] });
      t.match(batch.json(), { results: [{ recorded: false, code: 'TIMESTAMP_OUT_OF_RANGE' }, { recorded: true }] });
    }
    await server.verifyLedger(t);
  },
);

t.test('a session or key that has ended is refused with 401 and records nothing, alone and in a batch', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  await server.database.sql('delete from private.sessions where user_id = $1', [user.id]);
  await server.database.sql('update private.api_keys set expires_at = now() where user_id = $1', [user.id]);
  for (const token of [user.token, key]) {
    for (const body of [createUsage(), { ...createUsage(), event_id: 'k' }, { events: [createUsage(), {}] }]) {
      const refused = await sendWith(server, token, 'POST', '/api/usage', body);
      t.equal(refused.statusCode, 401);
      t.match(refused.json(), { code: 'INVALID_TOKEN' });
    }
  }
  const [kept] = await server.database.sql(
    'select (select count(*) from usage_events where user_id = $1)::integer as events, (select count(*) from private.idempotency_keys where subject_id = $1)::integer as keys',
    [user.id],
  );
  t.strictSame(kept, { events: 0, keys: 0 });
  await server.verifyLedger(t);
});

t.end();
