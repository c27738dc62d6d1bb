import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { type BatchAnswer, countEvents, createUsage, readId } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import type { Summary } from '../../helpers/summaries.js';

const server = await openTestServer(t);
const HOUR_MS = 60 * 60 * 1_000;

/** The body contract 1 shows, word for word; its time is in October 2024. */
const SAMPLE = {
  provider: 'chatgpt',
  model: 'estimated',
  inputTokens: 42,
  outputTokens: 180,
  totalTokens: 222,
  timestamp: 1730000000000,
  url: 'https://chatgpt.com/...',
};

/** Reads what an event was stored as. */
async function readStored(id: string): Promise<object | undefined> {
  const [row] = await server.database.sql<object>(
    `select provider, model, input_tokens::integer as input, output_tokens::integer as output,
            total_tokens::integer as total, url, occurred_at from usage_events where id = $1`,
    [id],
  );
  return row;
}

t.test("contract 1's sample is counted in the summaries, once however often it is sent", async (t) => {
  const user = await registerUser(server);
  const first = await user.as('POST', '/api/usage', SAMPLE);
  t.equal(first.statusCode, 201);
  t.match(first.json(), { recorded: true, duplicate: false, summary_only: true });
  const again = await user.as('POST', '/api/usage', SAMPLE);
  t.equal(again.statusCode, 200);
  t.match(again.json(), { id: readId(first), recorded: true, duplicate: true });
  const other = { ...SAMPLE, timestamp: 0 };
  const batch = (await user.as('POST', '/api/usage', { events: [SAMPLE, other, other] })).json<BatchAnswer>();
  t.match(batch, { recorded: 1, duplicates: 2, refused: 0 });

  const totals = async (range: string) => (await user.as('GET', `/api/usage/summary?${range}`)).json<Summary>().totals;
  t.match(await totals('from=2024-10-01&to=2024-11-01'), { events: 1, total_tokens: 222 });
  t.match(await totals('from=1970-01-01&to=1970-01-02'), { events: 1, total_tokens: 222 });
  t.equal(await countEvents(server, user.id), 0);
  t.equal((await user.as('POST', '/api/usage', createUsage())).statusCode, 201, 'the present is kept as before');
  await server.verifyLedger(t);
});

t.test('a clock that is up to a day ahead is set right, and said so', async (t) => {
  const user = await registerUser(server);
  const ahead = createUsage({ timestamp: Date.now() + 20 * HOUR_MS });
  const before = Date.now();
  const first = await user.as('POST', '/api/usage', ahead);
  t.match(first.json(), { recorded: true, duplicate: false, adjusted: ['timestamp'] });
  const stored = await readStored(readId(first));
  t.match(stored, { occurred_at: Date });
  const at = stored !== undefined && 'occurred_at' in stored ? Number(stored.occurred_at) : 0;
  t.ok(at >= before - 1_000 && at <= Date.now() + 1_000, 'it happened now');
  t.match((await user.as('POST', '/api/usage', ahead)).json(), { id: readId(first), duplicate: true });
  const keyed = { ...ahead, event_id: 'ahead' };
  const batch = (await user.as('POST', '/api/usage', { events: [ahead, keyed, keyed] })).json<BatchAnswer>();
  t.match(batch, { recorded: 1, duplicates: 2, refused: 0 });
  t.equal(await countEvents(server, user.id), 2);
  t.equal((await user.as('DELETE', `/api/usage/${readId(first)}`)).statusCode, 200, 'its id says where it is kept');
  const beyond = await user.as('POST', '/api/usage', createUsage({ timestamp: Date.now() + 25 * HOUR_MS }));
  t.match(beyond.json(), { code: 'TIMESTAMP_OUT_OF_RANGE' });
  await server.verifyLedger(t);
});

t.test('what old clients send besides, leave out or write otherwise loses no event', async (t) => {
  const user = await registerUser(server);
  let now = Date.now();
  const { model: _m, totalTokens: _t, ...bare } = createUsage({ url: 'https://x.ai/' });
  const url = `https://x.ai/${'x'.repeat(4_000)}`;
  const cases: [sent: object, stored: object][] = [
    [{ url: null }, { url: null }],
    [{ url: 7 }, { url: null }],
    [{ url }, { url: url.slice(0, 2_048) }],
    [{ url: `https://x.ai/${'x'.repeat(2_034)}😀` }, { url: `https://x.ai/${'x'.repeat(2_034)}` }],
    [{}, { model: 'unknown' }],
    [{ model: null }, { model: 'unknown' }],
    [{ model: ' ' }, { model: 'unknown' }],
    [{ model: 'm'.repeat(300) }, { model: 'm'.repeat(200) }],
    [{ provider: ' ChatGPT' }, { provider: 'chatgpt' }],
    [
      { inputTokens: '42', outputTokens: ' 180 ' },
      { input: 42, output: 180 },
    ],
    [
      { inputTokens: 1.5, outputTokens: 2.5, totalTokens: 4 },
      { input: 2, output: 3, total: 5 },
    ],
    [
      { inputTokens: '1.25', outputTokens: '2', totalTokens: '3.25' },
      { input: 1, output: 2, total: 3 },
    ],
    [{ totalTokens: null, event_id: null }, { total: 222 }],
    [{ conversation: { id: 1 }, extra: null }, { total: 222 }],
  ];
  const bodies = cases.map(([sent]) => ({ ...bare, timestamp: now--, ...sent }));
  for (const [n, [, stored]] of cases.entries()) {
    const response = await user.as('POST', '/api/usage', bodies[n]);
    t.equal(response.statusCode, 201, JSON.stringify(bodies[n]).slice(0, 200));
    t.match(await readStored(readId(response)), stored);
  }
  const times = [now - 0.5, String(now - 10), `${now - 20}.25`].map((timestamp) => ({ ...bare, timestamp }));
  const batch = await user.as('POST', '/api/usage', { events: [...bodies, ...times], client: 'old' });
  t.match(batch.json(), { recorded: 3, duplicates: bodies.length, refused: 0 });
  await server.verifyLedger(t);
});

t.test('in a batch, only what cannot be read at all is refused', async (t) => {
  const user = await registerUser(server);
  const event = createUsage();
  const mismatch = { ...event, totalTokens: 1 };
  const alone = await user.as('POST', '/api/usage', { ...mismatch, timestamp: event.timestamp - 1 });
  t.match(await readStored(readId(alone)), { total: 222 }, 'alone as in a batch the sum counts');
  const unreadable = [null, 1, [], {}, { ...event, inputTokens: 'many' }, { ...event, provider: '' }];
  const sent = [mismatch, ...unreadable, { ...event, inputTokens: -1 }, { ...event, timestamp: '2024' }];
  const answer = (await user.as('POST', '/api/usage', { events: sent })).json<BatchAnswer>();
  t.strictSame(
    answer.results.map(({ recorded }) => recorded),
    [true, ...unreadable.map(() => false), false, true],
  );
  t.match(await readStored(answer.results[0]?.id ?? ''), { total: 222 }, 'the sum counts');
  await server.verifyLedger(t);
});

t.test('a number is read in any form that means one, and counts as the same event in each', async (t) => {
  const user = await registerUser(server);
  const event = createUsage({ inputTokens: 1_000, outputTokens: 5, model: '5' });
  const first = await user.as('POST', '/api/usage', event);
  t.equal(first.statusCode, 201);
  const forms = [
    { inputTokens: '1000', outputTokens: '5', totalTokens: '1005' },
    { inputTokens: '1e3', outputTokens: '5.0' },
    { inputTokens: ' 1E+3 ', outputTokens: '005' },
    { totalTokens: 7 },
    { totalTokens: 'many' },
    { totalTokens: [1_005] },
    { model: 5 },
    { timestamp: String(event.timestamp) },
    { timestamp: event.timestamp / 1_000 },
    { timestamp: new Date(event.timestamp).toISOString() },
  ].map((form) => ({ ...event, ...form }));
  for (const form of forms) {
    const again = await user.as('POST', '/api/usage', form);
    t.match(again.json(), { id: readId(first), duplicate: true }, JSON.stringify(form));
  }
  t.match((await user.as('POST', '/api/usage', { events: forms })).json(), { recorded: 0, duplicates: forms.length });
  for (const inputTokens of ['', ' ', '-5', '1,000', '1 000', '1_000', '0x10', '1e999', 'NaN', true, [5], {}, -0.6]) {
    const refused = await user.as('POST', '/api/usage', { ...event, inputTokens });
    t.match(refused.json(), { code: 'VALIDATION_FAILED', error: /^inputTokens / }, JSON.stringify(inputTokens));
  }
  t.equal(await countEvents(server, user.id), 1);
  await server.verifyLedger(t);
});

t.test('a model of any type loses no event', async (t) => {
  const user = await registerUser(server);
  const models = { '4.1': 4.1, unknown: true, '0': 0 };
  for (const [stored, model] of Object.entries(models)) {
    const { model: _, ...event } = createUsage();
    const response = await user.as('POST', '/api/usage', { ...event, model });
    t.match(await readStored(readId(response)), { model: stored });
  }
  const unnamed = [[], ['gpt-5'], { id: 'gpt-5' }].map((model, n) => ({
    ...createUsage({ inputTokens: 1 + n }),
    model,
  }));
  t.match((await user.as('POST', '/api/usage', { events: unnamed })).json(), { recorded: unnamed.length, refused: 0 });
});

t.test('a time is read in the forms clients write it in', async (t) => {
  const user = await registerUser(server);
  const minute = Math.floor(Date.now() / 60_000) * 60_000 - HOUR_MS;
  const iso = new Date(minute).toISOString();
  const east = new Date(minute + 2 * HOUR_MS).toISOString().slice(0, 16);
  const forms: [sent: unknown, at: number][] = [
    [minute / 1_000, minute],
    [String(minute / 1_000), minute],
    [`${minute / 1_000}.25`, minute + 250],
    [minute / 1_000 + 0.5, minute + 500],
    [iso, minute],
    [` ${iso.toLowerCase()} `, minute],
    [`${iso.slice(0, 19)}.123456`, minute + 123],
    [iso.slice(0, 16).replace('T', ' '), minute],
    [`${east}+02:00`, minute],
    [`${east}:00+0200`, minute],
    [`${east}+02`, minute],
    [iso.slice(0, 10), Math.floor(minute / 86_400_000) * 86_400_000],
    [new Date(minute).toUTCString(), minute],
    [new Date(minute).toString(), minute],
  ];
  for (const [n, [timestamp, at]] of forms.entries()) {
    const response = await user.as('POST', '/api/usage', { ...createUsage({ inputTokens: n }), timestamp });
    t.equal(response.statusCode, 201, String(timestamp));
    t.match(await readStored(readId(response)), { occurred_at: new Date(at) }, String(timestamp));
  }
  const unreadable = ['yesterday', '10/27/2024, 10:00:00 AM', '2024-02-30', '2024-13-01', '2024-10-27T25:00', true, {}];
  for (const timestamp of [...unreadable, [minute], -1, '-1', '1e14e', '31 Feb 2024 10:00:00 GMT']) {
    const refused = await user.as('POST', '/api/usage', { ...createUsage(), timestamp });
    t.match(refused.json(), { code: 'VALIDATION_FAILED', error: /^timestamp / }, JSON.stringify(timestamp));
  }
  await server.verifyLedger(t);
});

t.test('without a time it happened now: each by itself, and once for its key', async (t) => {
  const user = await registerUser(server);
  const { timestamp: _, ...untimed } = createUsage();
  const before = Date.now();
  const times = [{}, { timestamp: null }, { timestamp: '' }, { timestamp: ' ' }];
  const ids: string[] = [];
  for (const time of times) {
    const response = await user.as('POST', '/api/usage', { ...untimed, ...time });
    t.equal(response.statusCode, 201, JSON.stringify(time));
    t.strictSame(response.json(), { id: readId(response), recorded: true, duplicate: false });
    ids.push(readId(response));
  }
  const stored = await readStored(ids[0] ?? '');
  const at = stored !== undefined && 'occurred_at' in stored ? Number(stored.occurred_at) : 0;
  t.ok(at >= before - 1_000 && at <= Date.now() + 1_000);
  t.match((await user.as('POST', '/api/usage', { events: [untimed, untimed] })).json(), { recorded: 2, refused: 0 });

  const keyed = { ...untimed, event_id: 'untimed' };
  const first = await user.as('POST', '/api/usage', keyed);
  t.equal(first.statusCode, 201);
  t.match((await user.as('POST', '/api/usage', { ...keyed, timestamp: null })).json(), {
    id: readId(first),
    duplicate: true,
  });
  t.match((await user.as('POST', '/api/usage', { events: [keyed, keyed] })).json(), { recorded: 0, duplicates: 2 });
  t.equal((await user.as('POST', '/api/usage', { ...keyed, timestamp: before })).statusCode, 422);
  t.equal(await countEvents(server, user.id), times.length + 3);
  t.equal((await user.as('DELETE', `/api/usage/${ids[0]}`)).statusCode, 200, 'its id says where it is kept');
  await server.verifyLedger(t);
});

t.end();
