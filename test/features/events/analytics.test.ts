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

t.end();
