import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { send } from '../../helpers/http/server-load.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t, { environment: { RETENTION_MONTHS: '1200' } });
const url = await server.listen();
const HOUR_MS = 60 * 60 * 1_000;

interface Summary {
  readonly totals: { readonly events: number };
  readonly series: readonly object[];
}

t.test(
  'a use of a feature is recorded under both prefixes, with a token or an API key, now or at its time',
  async (t) => {
    const user = await registerUser(server);
    const key = await createApiKey(user);
    const timestamp = Date.now() - HOUR_MS;
    const properties = { theme: 'dark', size: 1.5, first: true, nothing: null, '': undefined };
    const first = await send(url, '/api/events', {
      body: { name: '  focus-mode.opened ', properties, timestamp },
      token: user.token,
    });
    t.match(first, { status: 201, body: { id: /^[0-9a-f-]{36}$/, recorded: true } });
    t.match(await send(url, '/events', { body: { name: 'Größe 📏' }, token: key }), { status: 201 });
    const rows = await server.database.sql(
      `select name, properties, occurred_at, occurred_at between created_at - interval '1 minute' and created_at as now
       from feature_events where user_id = $1 order by occurred_at`,
      [user.id],
    );
    const { '': __, ...kept } = properties;
    t.match(rows, [
      { name: 'focus-mode.opened', properties: kept, occurred_at: new Date(timestamp), now: false },
      { name: 'Größe 📏', properties: {}, now: true },
    ]);
    t.equal(rows.length, 2);
  },
);

t.test('the same use twice is two uses: they are counted, not metered', async (t) => {
  const user = await registerUser(server);
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => user.as('POST', '/api/events', { name: 'x', timestamp: Date.now() })),
  );
  t.equal(new Set(answers.map((answer) => answer.json<{ id: string }>().id)).size, 40);
  t.match((await user.as('GET', '/api/events/summary')).json(), { totals: { events: 40 } });
});

t.test('timestamps may be five minutes ahead and as old as what is kept', async (t) => {
  const strict = await openTestServer(t, { environment: { RETENTION_MONTHS: '1' } });
  const user = await registerUser(strict);
  const now = new Date();
  const edge = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1);
  for (const [timestamp, status] of [
    [Date.now() + HOUR_MS * 0.075, 201],
    [Date.now() + HOUR_MS * 0.1, 400],
    [edge, 201],
    [edge - 1, 400],
    [0, 400],
  ] as const) {
    const response = await user.as('POST', '/api/events', { name: 'x', timestamp });
    t.equal(response.statusCode, status, String(timestamp));
    if (status === 400) t.match(response.json(), { code: 'TIMESTAMP_OUT_OF_RANGE' });
  }
});

t.test('the summary counts by name, or by day where the person is', async (t) => {
  const user = await registerUser(server);
  const stranger = await registerUser(server);
  // Clocks change in Berlin on the 29th; the two hours before midnight UTC are already the next day there.
  const uses = [
    ['opened', '2026-03-28T22:59:59.999Z'],
    ['opened', '2026-03-28T23:00:00Z'],
    ['closed', '2026-03-29T00:59Z'],
    ['opened', '2026-03-29T21:59:59.999Z'],
    ['opened', '2026-03-29T22:00:00Z'],
    ['closed', '2026-03-30T12:00Z'],
  ] as const;
  for (const [name, at] of uses) {
    t.equal((await user.as('POST', '/api/events', { name, timestamp: Date.parse(at) })).statusCode, 201);
  }
  await stranger.as('POST', '/api/events', { name: 'opened', timestamp: Date.parse('2026-03-29T12:00Z') });
  const ask = async (query: string) =>
    (await user.as('GET', `/api/events/summary?from=2026-03-28&to=2026-03-30&${query}`)).json<Summary>();
  const byName = await ask('');
  t.equal(byName.totals.events, 6);
  t.strictSame(byName.series, [
    { name: 'opened', events: 4 },
    { name: 'closed', events: 2 },
  ]);
  t.strictSame((await ask('group_by=day&tz=Europe/Berlin')).series, [
    { day: '2026-03-28', name: 'opened', events: 1 },
    { day: '2026-03-29', name: 'opened', events: 2 },
    { day: '2026-03-29', name: 'closed', events: 1 },
    { day: '2026-03-30', name: 'closed', events: 1 },
    { day: '2026-03-30', name: 'opened', events: 1 },
  ]);
  t.strictSame((await ask('group_by=day&name=closed&tz=Asia/Kathmandu')).series, [
    { day: '2026-03-29', name: 'closed', events: 1 },
    { day: '2026-03-30', name: 'closed', events: 1 },
  ]);
  t.match(await ask('name=unknown'), { totals: { events: 0 }, series: [] });
  const oneDay = await user.as('GET', '/api/events/summary?from=2026-03-29&to=2026-03-29&tz=Europe/Berlin');
  t.match(oneDay.json(), { from: '2026-03-28T23:00:00+00:00', to: '2026-03-29T22:00:00+00:00', totals: { events: 3 } });
});

t.test('an account that is deleted takes its uses along, counts and all, and leaves those of others', async (t) => {
  const [user, other] = [await registerUser(server), await registerUser(server)];
  for (const { as } of [user, user, other]) await as('POST', '/api/events', { name: 'x' });
  await server.database.sql('delete from users where id = $1', [user.id]);
  for (const table of ['feature_events', 'feature_rollups']) {
    const left = await server.database.sql(`select user_id from ${table} where user_id = any ($1)`, [
      [user.id, other.id],
    ]);
    t.strictSame(left, [{ user_id: other.id }], table);
  }
  t.equal((await user.as('POST', '/api/events', { name: 'x' })).statusCode, 401);
  t.equal((await sendWith(server, user.token, 'GET', '/api/events/summary')).statusCode, 401);
  await server.verifyLedger(t);
});

t.end();
