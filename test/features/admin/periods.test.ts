import { AnyResult, type Database } from '../../../src/platform/database/client/database.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { balanceLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

let server: TestServer;
let admin: TestAdmin;
t.beforeEach(async (t) => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

const call: Database['call'] = (name, args, schema, options) =>
  server.backend.database.call(name, args, schema, options);
const maintain = (settings: { p_monthly_tokens?: number } = {}) => call('maintain', settings, AnyResult);

t.test(
  'a reset keeps the history, gives everybody the default, ends holds and leaves blocked ones blocked',
  async (t) => {
    const device = await server.registerDevice();
    const blocked = await server.registerDevice();
    await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 20 });
    const hold = await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
    await admin.as('POST', '/api/admin/block-device', { device_id: blocked.id, blocked: true });

    t.match((await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 30 })).json(), {
      period: 2,
      devices: 2,
    });
    const balance = await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
    t.match(balance.json(), { allocated: 30, used: 0, reserved: 0, remaining: 30 });
    t.equal((await server.as(blocked, 'GET', `/api/devices/${blocked.id}/tokens`)).statusCode, 403);
    const { reservation_id } = hold.json<{ reservation_id: string }>();
    const late = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', reservation_id });
    t.match(late.json(), { tokens_used: 1, remaining: 29 }, 'usage for an ended hold is debited from the new period');

    t.match((await admin.as('GET', '/api/admin/periods')).json(), {
      periods: [
        { number: 2, closed_at: null, devices: 2, allocated: 60, used: 1 },
        { number: 1, closed_by: 'admin:root', devices: 2, allocated: 100, used: 20 },
      ],
    });
    const { devices } = (await admin.as('GET', '/api/admin/periods/1')).json<{
      devices: { device_id: string; used: number }[];
    }>();
    t.match(
      devices.find(({ device_id }) => device_id === device.id),
      { allocated: 50, used: 20 },
    );
    await server.verifyLedger(t);
  },
);

t.test('times are answered in UTC whatever the time zone of the database', async (t) => {
  const { name, sql } = server.database;
  await sql(`alter role authenticator in database ${name} set timezone = 'Asia/Kolkata'`);
  const elsewhere = await openTestServer(t, { database: server.database });
  const admin = await logInAsAdmin(elsewhere, 'elsewhere');
  await elsewhere.registerDevice();
  await admin.as('POST', '/api/admin/users', { email: 'someone@example.com' });
  for (const url of ['dashboard', 'periods', 'users', 'audit', 'model-costs']) {
    const { payload } = await admin.as('GET', `/api/admin/${url}`);
    const times = payload.match(/"[0-9]{4}-[0-9]{2}-[0-9]{2}T[^"]+"/g) ?? [];
    t.ok(times.length > 0, `${url} shows times`);
    t.strictSame(
      times.filter((time) => !/(\+00:00|Z)"$/.test(time)),
      [],
      url,
    );
  }
});

t.test('a reset the pool cannot pay for is refused and changes nothing', async (t) => {
  const device = await server.registerDevice();
  await admin.as('PUT', '/api/admin/budget', { total: 60 });
  const refused = await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 61 });
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'BUDGET_EXCEEDED', requested: 61, remaining: 60 });
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 50 });
  await server.verifyLedger(t);
});

t.test("the automatic reset happens once at the month's start, whoever asks how often", async (t) => {
  const device = await server.registerDevice();
  t.match(await maintain({ p_monthly_tokens: 50 }), { ran: true, reset: false }, 'not in the month the period began');
  await server.database.sql(`update periods set started_at = now() - interval '32 days' where closed_at is null`);
  t.match(await maintain(), { reset: false }, 'not without being asked for');

  const rounds = await Promise.all(Array.from({ length: 20 }, () => maintain({ p_monthly_tokens: 70 })));
  t.equal(rounds.filter((round) => JSON.stringify(round).includes('"reset":true')).length, 1);
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 70 });
  t.match((await admin.as('GET', '/api/admin/periods')).json(), {
    periods: [{ number: 2 }, { closed_by: 'system:monthly' }],
  });
  await server.verifyLedger(t);
});

t.test('an automatic reset shares out a pool that is too small for everybody', async (t) => {
  const devices = await Promise.all(Array.from({ length: 4 }, () => server.registerDevice(10)));
  await admin.as('PUT', '/api/admin/budget', { total: 90 });
  await server.database.sql(`update periods set started_at = now() - interval '32 days' where closed_at is null`);
  t.match(await maintain({ p_monthly_tokens: 50 }), { reset: true });
  for (const device of devices) {
    t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 22 });
  }
  await server.verifyLedger(t);
});

t.test('retention drops old months of events and the books still verify', async (t) => {
  const device = await server.registerDevice();
  await server.database.sql(
    `do $$
     declare
       v_at timestamptz := date_trunc('month', now(), 'UTC') - interval '5 months';
     begin
       perform private.record_usage_events(array_agg(row(
         gen_random_uuid(), b.subject_id, null, b.subject_id, 'device', 'unknown', 'gpt-5', 1, 0, 0, 0, 1,
         'client_reported', b.period, null, v_at, v_at, null
       )::public.usage_events)) from public.balances b;
       update public.balances set used = used + 1;
     end $$`,
  );
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  await server.verifyLedger(t);
  const count = () => server.database.sql<{ n: number }>('select count(*)::integer as n from usage_events');
  t.strictSame(await count(), [{ n: 2 }]);
  t.match(await call('drop_expired_month', { p_retention_months: 3 }, AnyResult), { dropped: true });
  t.strictSame(await count(), [{ n: 1 }]);
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { used: 2 });
  await server.verifyLedger(t);
});

t.test('a new period begins for everybody at once, though balances come into it one by one', async (t) => {
  const [used, idle, source, target, removed] = await Promise.all(
    Array.from({ length: 5 }, () => server.registerDevice()),
  );
  if (!used || !idle || !source || !target || !removed) throw new Error('no device');
  const debit = (device: TestDevice, more: object = {}) =>
    server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', ...more });
  for (const device of [used, idle, source]) t.equal((await debit(device, { prompt_count: 10 })).statusCode, 200);
  const hold = await server.as(used, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  const { reservation_id } = hold.json<{ reservation_id: string }>();
  await server.database.sql(`update periods set started_at = now() - interval '32 days' where closed_at is null`);
  t.equal(await call('start_period_when_due', { p_default_tokens: 30 }, AnyResult), true);
  t.equal(await call('start_period_when_due', { p_default_tokens: 30 }, AnyResult), false);
  await server.verifyLedger(t);

  // Nobody was touched yet: the old period has all its use, the new one its allocations.
  const periods = async () => (await admin.as('GET', '/api/admin/periods')).json();
  t.match(await periods(), { periods: [{ number: 2 }, { number: 1, devices: 5, used: 30 }] });
  t.match((await admin.as('GET', '/api/admin/periods/1')).json<{ devices: object[] }>().devices.length, 5);
  t.match((await admin.as('GET', '/api/admin/budget')).json(), { allocated: 150, used: 0, reserved: 0 });

  t.match((await debit(used, { reservation_id })).json(), { tokens_used: 1, remaining: 29 }, 'from the new period');
  t.match((await server.as(target, 'GET', `/api/devices/${target.id}/tokens`)).json(), {
    allocated: 30,
    remaining: 30,
  });
  const transfer = { device_id: target.id, from_device_id: source.id, tokens: 30 };
  t.match((await admin.as('POST', '/api/admin/allocate', transfer)).json(), { allocated: 60, from: { allocated: 0 } });
  t.equal((await admin.as('DELETE', `/api/admin/devices/${removed.id}`)).statusCode, 200);
  const late = await server.registerDevice(5);
  t.match((await debit(late)).json(), { remaining: 4 });
  await server.verifyLedger(t);

  t.equal(await call('finish_reset', {}, AnyResult), 1, 'only one is left');
  t.equal(await call('finish_reset', {}, AnyResult), 0);
  t.match((await server.as(idle, 'GET', `/api/devices/${idle.id}/tokens`)).json(), { allocated: 30, used: 0 });
  t.match(await periods(), {
    periods: [
      { number: 2, used: 2 },
      { number: 1, devices: 5, allocated: 250, used: 30 },
    ],
  });
  await server.verifyLedger(t);

  // Two resets in a row: what was not touched in between has its history of both.
  for (const default_tokens of [20, 10]) {
    await server.database.sql(`select private.close_period('test', null, $1)`, [default_tokens]);
  }
  t.match(await periods(), { periods: [{ number: 4 }, { number: 3, used: 0 }, { number: 2, used: 2 }, { number: 1 }] });
  t.match((await server.as(idle, 'GET', `/api/devices/${idle.id}/tokens`)).json(), { allocated: 10, used: 0 });
  await server.verifyLedger(t);
});

t.test(
  'a use that is under way when a period ends counts for it, or for the next one, and never for both',
  async (t) => {
    const device = await server.registerDevice();
    const answers = await meetAtLock(server.database, balanceLock(device.id, 2), () =>
      Promise.all([
        ...[1, 2].map(() => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })),
        admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 40 }),
      ]),
    );
    t.strictSame(
      answers.map(({ statusCode }) => statusCode),
      [200, 200, 200],
    );
    const [row] = await server.database.sql<{ used: number }>(
      `select (select coalesce(sum(used), 0) from period_balances)::integer + (select sum(used) from balances)::integer as used`,
    );
    t.equal(row?.used, 2);
    t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 40 });
    await server.verifyLedger(t);
  },
);
