import { AnyResult } from '../../../src/platform/database/client/database.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

let server: TestServer;
let admin: TestAdmin;
t.beforeEach(async (t) => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

const maintain = (settings: { p_monthly_tokens?: number; p_retention_months?: number } = {}) =>
  server.backend.database.call('maintain', settings, AnyResult);

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
  t.match(await maintain({ p_retention_months: 3 }), { ran: true });
  t.strictSame(await count(), [{ n: 1 }]);
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { used: 2 });
  await server.verifyLedger(t);
});
