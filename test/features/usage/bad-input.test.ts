import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { type BatchAnswer, createUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const user = await registerUser(server);
const admin = await logInAsAdmin(server);
const headers = { 'content-type': 'application/json', authorization: `Bearer ${user.token}` };

const { totalTokens: _, ...event } = createUsage();
const RECORD: Endpoint = {
  method: 'POST',
  path: '/usage',
  documented: '/api/usage',
  guarded: true,
  body: event,
  // What is forgiven, such as numbers as text, has a test of its own.
  fields: { provider: 'text', event_id: 'nullable text' },
  ignoresUnknown: true,
};
const BEYOND = [
  { ...event, inputTokens: 1_000_000_000_001 },
  { ...event, outputTokens: 1_000_000_000_001 },
  { ...event, timestamp: 253_402_300_800_000 },
  { ...event, inputTokens: -1 },
  { ...event, outputTokens: null },
  { ...event, timestamp: true },
  { ...event, inputTokens: '1e400' },
  { ...event, inputTokens: '0x10' },
  { ...event, event_id: 'x'.repeat(256) },
  ...['', 'chat gpt', '-x', 'ü', 'x'.repeat(51)].map((provider) => ({
    ...event,
    provider,
  })),
  ...['provider', 'inputTokens', 'outputTokens'].map((name) => ({ ...event, [name]: undefined })),
  ...[null, {}, [], 1, true, 'text', { length: 1 }].map((events) => ({ events })),
];

function record(prefix: string, payload: string) {
  return server.app.inject({ method: 'POST', url: `${prefix}/usage`, headers, payload });
}

t.test('the corpus is made of a body that is accepted but for one thing', async (t) => {
  t.equal((await record('/api', JSON.stringify(event))).statusCode, 201);
  const full = { ...event, totalTokens: event.inputTokens + event.outputTokens, event_id: 'k' };
  t.equal((await record('/api', JSON.stringify(full))).statusCode, 201);
  t.ok(createBadBodies(RECORD).length > 50, 'a corpus worth the name');
  await server.verifyLedger(t);
});

t.test('every bad body is refused under both prefixes, with a status the route declares', async (t) => {
  const before = await readChecksums(server.database);
  const declared = await declaredStatuses(server, RECORD);
  for (const prefix of PREFIXES) {
    const flaws: string[] = [];
    for (const body of [...createBadBodies(RECORD), ...BEYOND.map((body) => JSON.stringify(body))]) {
      flaws.push(...findFlaws(await record(prefix, body), describeBody(body), declared));
    }
    t.strictSame(flaws, [], prefix);
  }
  for (const key of ['', ' ', 'a b', 'x'.repeat(256), 'schlüssel']) {
    const response = await user.as('POST', '/api/usage', event, { 'idempotency-key': key });
    t.equal(response.statusCode, 400, describeBody(key));
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('the same in a batch is refused one by one, or with the batch where it is no JSON to be stored', async (t) => {
  const before = await readChecksums(server.database);
  const flaws: string[] = [];
  for (const body of [...createBadBodies(RECORD), ...BEYOND.map((body) => JSON.stringify(body))]) {
    const response = await record('/api', `{"events":[${body}]}`);
    if (response.statusCode === 200) {
      const { results, ...counts } = response.json<BatchAnswer>();
      const isRefused = counts.refused === 1 && counts.recorded + counts.duplicates === 0;
      if (!isRefused || results[0]?.recorded !== false || !results[0].error) flaws.push(describeBody(body));
    } else flaws.push(...findFlaws(response, describeBody(body)));
  }
  t.strictSame(flaws, []);
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('the refusal says which field is wrong', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ ...event, inputTokens: 'x' }, /^inputTokens /],
    [{ ...event, provider: 'Chat GPT' }, /^provider /],
    [{ ...event, timestamp: 'yesterday' }, /^timestamp /],
  ];
  for (const [body, sentence] of wrong) {
    t.match((await record('/api', JSON.stringify(body))).json(), { error: sentence });
    t.match((await record('/api', JSON.stringify({ events: [body] }))).json(), { results: [{ error: sentence }] });
  }
});

const QUERIES = [
  ...['0', '201', '-1', '1.5', 'x', '', '1e400', '٣'].map((limit) => `limit=${limit}`),
  ...['source=', 'source=Device', 'source=unknown', 'provider=', `provider=${'x'.repeat(51)}`, 'model='],
  ...['device=x', 'device=', 'device=urn:uuid:00000000-0000-4000-8000-000000000000', 'user_id=x'],
  ...['unknown=1', '__proto__=1', 'constructor=1', 'from[]=2026-01-01', 'limit=1&limit=2', 'group_by=day'],
  ...['provider=%00', 'model=%00', 'source=%00', 'tz=%00', 'cursor=%00', '%00=1'],
];
const CURSORS = [
  'x',
  '%00',
  'x'.repeat(1_001),
  ...[
    null,
    1,
    [],
    {},
    { at: 'x', id: user.id },
    { at: 'infinity', id: 'x' },
    { at: '2026-02-30', id: user.id },
    { at: 5, id: user.id },
    { at: '2026-01-01', id: `urn:uuid:${user.id}` },
    { at: '2026-01-01\u0000', id: user.id },
    { at: `2026-01-01${' '.repeat(40)}`, id: user.id },
    { at: "'; drop table users", id: user.id },
  ].map((position) => Buffer.from(JSON.stringify(position)).toString('base64url')),
];

t.test('bad queries and forged cursors are refused with 400', async (t) => {
  for (const { who, path } of [
    { who: user, path: '/api/usage' },
    { who: user, path: '/usage' },
    { who: admin, path: '/api/admin/usage' },
  ]) {
    for (const query of [...QUERIES, ...CURSORS.map((cursor) => `cursor=${cursor}`)]) {
      const response = await who.as('GET', `${path}?${query}`);
      t.equal(response.statusCode, 400, `${path}?${describeBody(query)}`);
      t.strictSame(findFlaws(response, query), []);
    }
    t.equal((await who.as('GET', `${path}?limit=200&source=chat`)).statusCode, 200);
  }
});

t.end();
