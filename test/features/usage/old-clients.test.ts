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
  t.match((await user.as('POST', '/api/usage', mismatch)).json(), { code: 'TOTAL_MISMATCH' }, 'alone it is refused');
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

t.end();
