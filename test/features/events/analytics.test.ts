import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);

interface Summary {
  readonly totals: { readonly events: number };
  readonly omitted: { readonly rows: number; readonly events: number };
  readonly series: readonly { readonly name: string }[];
  readonly properties: readonly object[];
}
const askAdmin = async (query = '') => (await admin.as('GET', `/api/admin/events/summary?${query}`)).json<Summary>();

t.test('devices send events: those of nobody count apart, those of a person are theirs', async (t) => {
  const user = await registerUser(server);
  const [anonymous, linked] = [await server.registerDevice(), await server.registerDevice()];
  await server.database.sql('update devices set user_id = $2, first_user_id = $2 where id = $1', [linked.id, user.id]);
  for (const device of [anonymous, anonymous, linked]) {
    const response = await server.as(device, 'POST', '/api/events', { name: 'opened', properties: { ms: 10 } });
    t.equal(response.statusCode, 201, response.payload);
  }
  await user.as('POST', '/api/events', { name: 'opened' });
  t.match((await user.as('GET', '/api/events/summary')).json(), {
    totals: { events: 2 },
    properties: [{ name: 'opened', property: 'ms', count: 1 }],
  });
  t.match(await askAdmin(), { totals: { events: 4 }, series: [{ name: 'opened', events: 4, users: 1, devices: 1 }] });
  t.equal((await server.as(anonymous, 'GET', '/api/events/summary')).statusCode, 401, 'a device reads none');

  await server.database.sql('update devices set blocked = true where id = $1', [anonymous.id]);
  t.match((await server.as(anonymous, 'POST', '/api/events', { name: 'x' })).json(), { code: 'DEVICE_BLOCKED' });
  await server.database.sql('update users set suspended_at = now() where id = $1', [user.id]);
  t.match((await server.as(linked, 'POST', '/api/events', { name: 'x' })).json(), { code: 'ACCOUNT_SUSPENDED' });
  await server.database.sql('update devices set token_version = token_version + 1 where id = $1', [linked.id]);
  t.match((await server.as(linked, 'POST', '/api/events', { name: 'x' })).json(), { code: 'INVALID_TOKEN' });
  await server.database.sql('delete from feature_events');
});

t.test('what a device sent before it was linked goes with the account', async (t) => {
  const user = await registerUser(server);
  const device = await server.registerDevice();
  await server.as(device, 'POST', '/api/events', { name: 'before' });
  await server.database.sql('update devices set user_id = $2, first_user_id = $2 where id = $1', [device.id, user.id]);
  await server.as(device, 'POST', '/api/events', { name: 'after' });
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.strictSame(await server.database.sql('select name from feature_events where device_id = $1', [device.id]), []);
  await server.verifyLedger(t);
});

t.test('numbers in properties are summed up by name, with the median and the 95th percentile', async (t) => {
  const [one, other] = [await registerUser(server), await registerUser(server)];
  for (let ms = 1; ms <= 100; ms += 1) {
    const properties = { ms, model: 'gpt-5', cached: ms > 50, size: ms === 1 ? 1e308 : null };
    await (ms % 2 === 0 ? one : other).as('POST', '/api/events', { name: 'answered', properties });
  }
  await one.as('POST', '/api/events', { name: 'closed', properties: { ms: -1.5 } });
  const numbers = { name: 'answered', property: 'ms' };
  t.strictSame((await askAdmin()).properties, [
    { ...numbers, count: 100, avg: 50.5, p50: 50, p95: 95, min: 1, max: 100 },
    { ...numbers, property: 'size', count: 1, avg: 1e308, p50: 1e308, p95: 1e308, min: 1e308, max: 1e308 },
    { name: 'closed', property: 'ms', count: 1, avg: -1.5, p50: -1.5, p95: -1.5, min: -1.5, max: -1.5 },
  ]);
  t.equal((await askAdmin('name=closed')).properties.length, 1);
  const own = (await other.as('GET', '/api/events/summary?name=answered')).json<Summary>();
  t.match(own.properties, [{ ...numbers, count: 50, avg: 50, p50: 49, p95: 95, min: 1, max: 99 }, { count: 1 }]);
  await server.database.sql('delete from feature_events');
});

t.test("an admin's summary is by day as well, and bounded however many names there are", async (t) => {
  const user = await registerUser(server);
  await server.database.sql(
    `insert into feature_events (user_id, name, properties, occurred_at)
     select $1, 'name-' || n, jsonb_build_object('p' || n, n), now() from generate_series(1, 1005) n`,
    [user.id],
  );
  await user.as('POST', '/api/events', { name: 'name-7' });
  const summary = await askAdmin('group_by=day');
  t.match(summary, { totals: { events: 1006 }, omitted: { rows: 5, events: 5 } });
  t.equal(summary.series.length, 1_000);
  t.match(summary.series[0], { day: /^\d{4}-\d{2}-\d{2}$/, name: 'name-7', events: 2, users: 1, devices: 0 });
  t.equal(summary.properties.length, 200);
  for (const query of ['from=2026-01-01&to=2026-04-05', 'from=x', 'tz=Nowhere', 'group_by=hour']) {
    t.equal((await admin.as('GET', `/api/admin/events/summary?${query}`)).statusCode, 400, query);
  }
  t.equal((await user.as('GET', '/api/admin/events/summary')).statusCode, 401);
  await server.verifyLedger(t);
});

t.test(
  "a day holds 5,000 uses of a person, whichever device sends them, or of a device that is nobody's",
  async (t) => {
    const user = await registerUser(server);
    const [linked, anonymous, other] = [
      await server.registerDevice(),
      await server.registerDevice(),
      await server.registerDevice(),
    ];
    await server.database.sql('update devices set user_id = $2, first_user_id = $2 where id = $1', [
      linked.id,
      user.id,
    ]);
    for (const device of [linked, anonymous]) await server.as(device, 'POST', '/api/events', { name: 'opened' });
    const count = (subjects: readonly string[], attempts: number) =>
      server.database.sql(
        "update private.login_attempts set attempts = $2 where scope = 'events' and key = any ($1) returning key",
        [subjects, attempts],
      );
    t.equal((await count([user.id, anonymous.id], 4_998)).length, 2);
    const send = () => [
      user.as('POST', '/api/events', { name: 'opened' }),
      server.as(linked, 'POST', '/api/events', { name: 'opened' }),
      server.as(linked, 'POST', '/api/events', { name: 'opened' }),
    ];
    const answers = await Promise.all(send());
    t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [201, 201, 429]);
    const refused = answers.find(({ statusCode }) => statusCode === 429);
    t.match(refused?.json(), { code: 'RATE_LIMITED', limit: 'events', retry_after: Number });
    t.ok(Number(refused?.headers['retry-after']) > 86_000);
    t.equal((await server.as(anonymous, 'POST', '/api/events', { name: 'opened' })).statusCode, 201);
    t.equal((await server.as(anonymous, 'POST', '/api/events', { name: 'opened' })).statusCode, 201);
    t.equal((await server.as(anonymous, 'POST', '/api/events', { name: 'opened' })).statusCode, 429);
    t.equal((await server.as(other, 'POST', '/api/events', { name: 'opened' })).statusCode, 201, 'others go on');
    t.match((await user.as('GET', '/api/events/summary')).json(), { totals: { events: 3 } });

    await server.database.sql('update private.login_attempts set window_ends_at = now() where key = $1', [user.id]);
    t.equal(
      (await server.as(linked, 'POST', '/api/events', { name: 'opened' })).statusCode,
      201,
      'the next day begins',
    );
    t.match(await server.database.sql('select attempts from private.login_attempts where key = $1', [user.id]), [
      { attempts: 1 },
    ]);
  },
);

t.test('of a person and day a hundred names are counted apart, and what comes beyond as other', async (t) => {
  const user = await registerUser(server);
  const day = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
  const timestamp = Date.parse(`${day}T12:00Z`);
  await server.database.sql(
    `insert into feature_rollups (user_id, bucket, name, events)
     select $1, $2::timestamptz + n % 4 * interval '15 minutes', 'name-' || n, 1 from generate_series(1, 98) n`,
    [user.id, `${day}T00:00Z`],
  );
  for (const name of ['name-1', 'new-1', 'new-2', 'new-3', 'new-3', 'new-1', 'name-98']) {
    t.equal((await user.as('POST', '/api/events', { name, timestamp })).statusCode, 201);
  }
  await Promise.all(['a', 'b', 'a'].map((name) => user.as('POST', '/api/events', { name, timestamp })));
  const { totals, series } = (await user.as('GET', `/api/events/summary?from=${day}&to=${day}`)).json<Summary>();
  t.equal(totals.events, 108);
  t.equal(series.length, 101);
  t.strictSame(series.slice(0, 4), [
    { name: 'other', events: 5 },
    { name: 'name-1', events: 2 },
    { name: 'name-98', events: 2 },
    { name: 'new-1', events: 2 },
  ]);
  const apart = await server.database.sql('select distinct name from feature_events where user_id = $1', [user.id]);
  t.equal(apart.length, 7, 'the events themselves keep their names');
});

t.end();
