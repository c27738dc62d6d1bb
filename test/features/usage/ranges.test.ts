import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, recordAll } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import type { Summary } from '../../helpers/summaries.js';

const server = await openTestServer(t);
const user = await registerUser(server);
const admin = await logInAsAdmin(server);
const HOUR_MS = 60 * 60 * 1_000;
const DAY_MS = 24 * HOUR_MS;
const QUARTER_MS = HOUR_MS / 4;

const ask = (query: string) => user.as('GET', `/api/usage/summary?${query}`);

t.test('without a range it is about the last 30 days where the person is, today included', async (t) => {
  const now = Date.now();
  await recordAll(
    t,
    user,
    [0, 29, 31, 45].map((days) => createUsage({ timestamp: now - days * DAY_MS })),
  );
  for (const tz of ['UTC', 'Asia/Kathmandu', 'Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
    const answer = (await ask(`tz=${tz}&group_by=day`)).json<Summary>();
    t.match(answer, { totals: { events: 2 }, time_zone: tz });
    t.equal(answer.series.length, 30);
    const today = new Intl.DateTimeFormat('en-CA', { timeZone: tz, dateStyle: 'short' }).format(now);
    t.match(answer.series.at(-1), { day: today, events: 1 });
    t.match(answer.series.at(0), { events: 1 });
  }
  t.match((await ask('')).json(), { totals: { events: 2 }, time_zone: 'UTC', series: [] });
});

t.test('a range of moments counts from its first to before its last', async (t) => {
  const other = await registerUser(server);
  const start = Math.floor((Date.now() - DAY_MS) / QUARTER_MS) * QUARTER_MS;
  await recordAll(
    t,
    other,
    [start - 1, start, start + 1, start + QUARTER_MS - 1, start + QUARTER_MS].map((timestamp) =>
      createUsage({ timestamp }),
    ),
  );
  const count = async (from: number, to: number, write = (ms: number) => new Date(ms).toISOString()) => {
    const query = new URLSearchParams({ from: write(from), to: write(to) });
    const answer = (await other.as('GET', `/api/usage/summary?${query}`)).json<Summary>();
    t.equal(Date.parse(answer.from), from);
    t.equal(Date.parse(answer.to), to);
    return answer.totals.events;
  };
  t.equal(await count(start, start + QUARTER_MS), 3);
  t.equal(await count(start - QUARTER_MS, start), 1);
  t.equal(await count(start - QUARTER_MS, start + 2 * QUARTER_MS), 5);
  const inKathmandu = (ms: number) => `${new Date(ms + 5.75 * HOUR_MS).toISOString().slice(0, 16)}+05:45`;
  t.equal(await count(start, start + QUARTER_MS, inKathmandu), 3, 'whatever its distance from UTC');
});

t.test('what is no range is refused with 400, as is what would be without end', async (t) => {
  const ranges = [
    'from=2026-02-02&to=2026-02-01',
    'from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z',
    'from=2020-01-01&to=2026-01-01',
    'from=0001-01-01&to=9999-12-31',
    'from=0000-01-01&to=0000-01-02',
    'from=2026-02-30&to=2026-03-01',
    'from=2026-13-01&to=2027-01-01',
    'from=2026-01-01T25:00Z&to=2026-01-03',
    'from=2026-01-01T00:07Z&to=2026-01-02',
    'from=2026-01-01&to=2026-01-02T00:00:01Z',
    'from=9999-12-31&to=9999-12-30',
    'from=1890-01-01&to=1890-01-02&tz=Europe/Berlin',
  ];
  const malformed = [
    ...['yesterday', '2026', '2026-1-1', '', 'infinity', '20260101', '2026-01-01 00:00', '2026-01-01T00:00:00', '-1'],
    ...["2026-01-01'--", '2026-01-01T00:00:00 Europe/Berlin', '2026-01-01\u0000', '2026-01-01T00:00+01', 'now'],
  ].flatMap((text) => [`from=${encodeURIComponent(text)}`, `to=${encodeURIComponent(text)}`]);
  for (const prefix of ['/api/usage/summary', '/api/usage', '/api/usage.csv', '/api/events/summary']) {
    for (const query of ranges) {
      const response = await user.as('GET', `${prefix}?${query}`);
      t.equal(response.statusCode, 400, `${prefix}?${query}`);
      t.match(response.json(), { code: 'RANGE_NOT_VALID' });
    }
    for (const query of malformed) {
      const response = await user.as('GET', `${prefix}?${query}`);
      t.equal(response.statusCode, 400, `${prefix}?${query}`);
      t.match(response.json(), { code: 'VALIDATION_FAILED' });
    }
    const twice = await user.as('GET', `${prefix}?from=2026-01-01&from=2026-01-02`);
    t.equal(twice.statusCode, 400);
  }
  t.equal((await ask('from=2023-01-01&to=2026-01-04')).statusCode, 200, '1,100 days are not too many');
  t.equal((await ask('from=2023-01-01&to=2026-01-05')).statusCode, 400, '1,101 are');
  t.match((await ask('from=9999-01-01&to=9999-12-31')).json(), { totals: { events: 0 } }, 'nor is the far future');
});

t.test('a time zone is one that this server and Postgres know by that name, and understand alike', async (t) => {
  const zones = ['UTC', 'utc', 'GMT', 'Etc/GMT+5', 'europe/berlin', 'EST5EDT', 'America/Argentina/Ushuaia', 'Etc/UTC'];
  for (const tz of zones) {
    t.match((await ask(new URLSearchParams({ tz }).toString())).json(), { time_zone: tz, totals: {} }, tz);
  }
  const abbreviations = ['CET', 'EST', 'CST', 'IST', 'PST', 'msk', 'Z', 'NZ'];
  const posix = ['XYZ3', 'CET-1CEST', '<+03>-3', 'EST5EDT,M3.2.0,M11.1.0', '+05:45', '-3', '3'];
  const wrong = [
    '',
    ' ',
    'Mars/Olympus',
    'Europe',
    'Europe/',
    '../UTC',
    "UTC'--",
    'localtime',
    'posixrules',
    'Factory',
  ];
  for (const tz of [...abbreviations, ...posix, ...wrong, 'SystemV/AST4', 'x'.repeat(65), 'UTC\u0000', 'ＵＴＣ']) {
    for (const path of ['usage/summary', 'usage', 'usage.csv', 'events/summary']) {
      const response = await user.as('GET', `/api/${path}?${new URLSearchParams({ tz })}`);
      t.equal(response.statusCode, 400, `${path} ${tz}`);
      t.match(
        response.json(),
        { code: tz.length > 64 || tz.includes('\0') ? 'VALIDATION_FAILED' : 'RANGE_NOT_VALID' },
        tz,
      );
    }
  }
});

t.test('group_by names each thing once, and one unit of time', async (t) => {
  const wrong = [
    '',
    'hour',
    'day,',
    ',day',
    'day,day',
    'day,week',
    'provider,model,provider',
    'Day',
    'day model',
    'user',
  ];
  for (const group_by of [...wrong, 'subject_id', 'day;provider', 'day,hour', `${'day,'.repeat(30)}day`]) {
    const response = await ask(new URLSearchParams({ group_by }).toString());
    t.equal(response.statusCode, 400, group_by);
    t.match(response.json(), { code: 'VALIDATION_FAILED' });
  }
  for (const query of ['group_by=day&group_by=model', 'unknown=1', 'limit=5', `user_id=${user.id}`]) {
    t.equal((await ask(query)).statusCode, 400, query);
  }
  t.equal((await admin.as('GET', '/api/admin/usage/summary?group_by=user,hour')).statusCode, 400);
});

t.test('a summary has 10,000 rows at most; what is used least is added up', async (t) => {
  const other = await registerUser(server);
  await recordAll(
    t,
    other,
    Array.from({ length: 101 }, (_, n) => createUsage({ model: `model-${n}`, timestamp: Date.now() - n })),
  );
  const to = new Date().toISOString().slice(0, 10);
  const daysBack = (days: number) => new Date(Date.parse(to) - (days - 1) * DAY_MS).toISOString().slice(0, 10);
  const query = (days: number) => `/api/usage/summary?from=${daysBack(days)}&to=${to}&group_by=day,model`;
  const fitting = await other.as('GET', query(99));
  t.equal(fitting.json<Summary>().series.length, 9_999);
  t.notOk(fitting.json<Summary>().series.some((row) => 'other' in row));
  const long = (await other.as('GET', query(100))).json<Summary>();
  t.equal(long.series.length, 10_000);
  t.match(long.series.at(-1), { day: to, model: 'other', other: true, events: 2 });
  t.equal(long.totals.events, 101);
  await server.verifyLedger(t);
});

t.end();
