import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { linkDevice, recordAll, storeUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import { eventsIn, expectedSummary, type RawUsage, type Summary, sorted } from '../../helpers/summaries.js';

// Always 2026, whose clock changes are known.
const server = await openTestServer(t, { environment: { RETENTION_MONTHS: '1200' } });
const user = await registerUser(server);
const stranger = await registerUser(server);
const device = await server.registerDevice();
await linkDevice(server, device.id, user.id);

const MINUTE_MS = 60_000;
const PROVIDERS = ['chatgpt', 'claude', 'gemini'] as const;
/** Creates events of ten days around a moment, one every 37 minutes, so that every hour of the day has some. */
function spread(around: string): RawUsage[] {
  const start = Date.parse(around) - 5 * 24 * 60 * MINUTE_MS;
  return Array.from({ length: 390 }, (_, n) => ({
    at: start + n * 37 * MINUTE_MS,
    provider: PROVIDERS[n % 3] ?? 'claude',
    model: n % 5 === 0 ? 'opus' : 'haiku',
    source: n % 7 === 0 ? 'device' : 'extension',
    device: n % 7 === 0 ? device.id : null,
    user: user.id,
    prompts: n % 7 === 0 ? 2 : 1,
    input: n * 11,
    output: n * 13,
  }));
}

// Clocks change in Berlin, New York, on Lord Howe Island (by half an hour), and over midnight in Havana.
const MOMENTS = [
  '2026-03-29T01:00Z',
  '2026-10-25T01:00Z',
  '2026-11-01T06:00Z',
  '2026-03-08T07:00Z',
  '2026-10-03T15:30Z',
];
const rows = MOMENTS.flatMap(spread).filter(({ at }, n, all) => all.findIndex((other) => other.at === at) === n);
await recordAll(
  t,
  user,
  rows
    .filter(({ source }) => source === 'extension')
    .map(({ at, provider, model, input, output }) => ({
      timestamp: at,
      provider,
      model,
      inputTokens: input,
      outputTokens: output,
    })),
);
const stored = rows.filter(({ source }) => source === 'device');
await storeUsage(
  server,
  stored.map((row) => ({ ...row, subject: device.id, device: device.id })),
);
const foreign = { subject: stranger.id, user: stranger.id, source: 'extension', provider: 'x', model: 'x', prompts: 2 };
await storeUsage(server, [{ ...foreign, at: Date.parse(MOMENTS[0] ?? '') }]);

const GROUPS = [
  ['day'],
  ['week'],
  ['month'],
  ['provider'],
  ['model'],
  ['source'],
  ['device'],
  ['day', 'provider'],
  ['week', 'model'],
  ['month', 'source', 'device'],
  ['provider', 'model', 'source', 'device'],
  ['day', 'provider', 'model', 'source', 'device'],
  [],
];
const RANGES = [
  ['UTC', '2026-03-01', '2026-11-10'],
  ['Europe/Berlin', '2026-03-26', '2026-04-02'],
  ['Europe/Berlin', '2026-10-20', '2026-10-30'],
  ['Europe/Berlin', '2026-03-29', '2026-03-29'],
  ['Europe/Berlin', '2026-10-25', '2026-10-25'],
  ['America/New_York', '2026-03-05', '2026-03-11'],
  ['America/New_York', '2026-10-28', '2026-11-05'],
  ['America/Havana', '2026-10-31', '2026-10-31'],
  ['America/Havana', '2026-11-01', '2026-11-01'],
  ['America/Havana', '2026-03-08', '2026-03-08'],
  ['Australia/Lord_Howe', '2026-10-01', '2026-10-08'],
  ['Australia/Lord_Howe', '2026-10-04', '2026-10-04'],
  ['Asia/Kathmandu', '2026-03-25', '2026-11-03'],
] as const;

t.test('every grouping is the sum over the events, in every zone and over every change of clocks', async (t) => {
  for (const [tz, from, to] of RANGES) {
    const within = eventsIn(rows, tz, from, to);
    t.ok(within.length > 20, `${tz} ${from}: there is something to add up`);
    for (const groups of GROUPS) {
      const query = new URLSearchParams({ tz, from, to, ...(groups.length > 0 && { group_by: groups.join() }) });
      const answer = (await user.as('GET', `/api/usage/summary?${query}`)).json<Summary>();
      const { series, totals } = expectedSummary(within, groups, tz, from, to);
      t.strictSame(answer.totals, totals, `totals, ${tz} ${from} by ${groups}`);
      t.strictSame(sorted(answer.series), sorted(series), `series, ${tz} ${from} by ${groups}`);
      t.equal(answer.time_zone, tz);
    }
  }
  await server.verifyLedger(t);
});

t.test('the answer is in order of time', async (t) => {
  const response = await user.as('GET', '/api/usage/summary?from=2026-03-20&to=2026-11-05&group_by=provider,day');
  const days = response.json<Summary>().series.map(({ day }) => String(day));
  t.strictSame(days, days.toSorted());
});

t.test('a day is as long as it is there, and the range says so', async (t) => {
  for (const [tz, day, hours] of [
    ['Europe/Berlin', '2026-03-29', 23],
    ['Europe/Berlin', '2026-10-25', 25],
    ['America/New_York', '2026-11-01', 25],
    ['America/Havana', '2026-11-01', 25],
    ['America/Havana', '2026-10-31', 24],
    ['America/Havana', '2026-03-08', 23],
    ['Australia/Lord_Howe', '2026-10-04', 23.5],
    ['Australia/Lord_Howe', '2026-04-05', 24.5],
    ['Asia/Kathmandu', '2026-03-29', 24],
  ] as const) {
    const answer = (await user.as('GET', `/api/usage/summary?tz=${tz}&from=${day}&to=${day}`)).json<Summary>();
    t.equal((Date.parse(answer.to) - Date.parse(answer.from)) / (60 * MINUTE_MS), hours, `${tz} ${day}`);
  }
  const kathmandu = await user.as('GET', '/api/usage/summary?tz=Asia/Kathmandu&from=2026-03-29&to=2026-03-29');
  t.equal(Date.parse(kathmandu.json<Summary>().from), Date.parse('2026-03-28T18:15:00Z'));
});

t.test('an admin is told the same of one account, and of everybody with everybody in it', async (t) => {
  const admin = await logInAsAdmin(server);
  const query = 'from=2026-03-26&to=2026-04-02&tz=Europe/Berlin&group_by=week,user,provider';
  const within = eventsIn(rows, 'Europe/Berlin', '2026-03-26', '2026-04-02');
  const expected = expectedSummary(within, ['week', 'user', 'provider'], 'Europe/Berlin', '2026-03-26', '2026-04-02');
  const one = (await admin.as('GET', `/api/admin/usage/summary?${query}&user_id=${user.id}`)).json<Summary>();
  t.strictSame(one.totals, expected.totals, 'the device counts for its user');
  t.strictSame(sorted(one.series), sorted(expected.series));
  const all = (await admin.as('GET', `/api/admin/usage/summary?${query}`)).json<Summary>();
  t.equal(all.totals.events, expected.totals.events + 1);
  t.strictSame(
    all.series.filter(({ user: whose, events }) => whose === stranger.id && events > 0),
    [
      {
        week: '2026-03-23',
        user: stranger.id,
        provider: 'x',
        events: 1,
        prompts: 2,
        input_tokens: 0,
        output_tokens: 0,
        total_tokens: 0,
        cost: 0,
        nano_usd: 0,
      },
    ],
  );
});

t.end();
