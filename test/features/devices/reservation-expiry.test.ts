import { AnyResult } from '../../../src/platform/database/client/database.js';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const OPUS = { model_type: 'claude-opus-4.5' };

/** Takes a hold and lets it expire. */
async function expiredHold(device: TestDevice): Promise<string> {
  const held = await server.as(device, 'POST', '/api/devices/check-can-use', { ...OPUS, reserve: true });
  const { reservation_id: id } = held.json<{ reservation_id: string }>();
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where id = $1`, [id]);
  return id;
}

async function readStatus(id: string): Promise<string | undefined> {
  const [row] = await server.database.sql<{ status: string }>('select status from reservations where id = $1', [id]);
  return row?.status;
}

t.test('an expired hold is given back when the balance is read next', async (t) => {
  const device = await server.registerDevice(10);
  const hold = await expiredHold(device);
  const balance = await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  t.match(balance.json(), { used: 0, reserved: 0, remaining: 10 });
  t.equal(await readStatus(hold), 'expired');
  await server.verifyLedger(t);
});

t.test('an expired hold is given back before a check or a use is decided', async (t) => {
  const checked = await server.registerDevice(3);
  await expiredHold(checked);
  const check = await server.as(checked, 'POST', '/api/devices/check-can-use', OPUS);
  t.match(check.json(), { can_use: true, remaining: 3 });

  const used = await server.registerDevice(3);
  await expiredHold(used);
  const use = await server.as(used, 'POST', '/api/usage/log', OPUS);
  t.match(use.json(), { tokens_used: 3, remaining: 0 });
  await server.verifyLedger(t);
});

t.test('a use that names an expired hold is debited like any other', async (t) => {
  const device = await server.registerDevice(4);
  const reservation_id = await expiredHold(device);
  const use = () => server.as(device, 'POST', '/api/usage/log', { ...OPUS, reservation_id });
  t.match((await use()).json(), { tokens_used: 3, remaining: 1 });
  t.equal(await readStatus(reservation_id), 'expired', 'it is not settled');
  const refused = await use();
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'INSUFFICIENT_TOKENS', requested: 3, remaining: 1 });
  await server.verifyLedger(t);
});

t.test('maintenance gives back expired holds of devices that never return, and leaves live ones', async (t) => {
  const gone = await server.registerDevice(10);
  const here = await server.registerDevice(10);
  const expired = [await expiredHold(gone), await expiredHold(gone)];
  const live = await server.as(here, 'POST', '/api/devices/check-can-use', { ...OPUS, reserve: true });
  const done = await server.backend.database.call('maintain', {}, AnyResult);
  t.match(done, { ran: true, expired_subjects: 1 });
  for (const id of expired) t.equal(await readStatus(id), 'expired');
  t.equal(await readStatus(live.json<{ reservation_id: string }>().reservation_id), 'held');
  const balances = await server.database.sql(
    'select reserved from balances where subject_id = any ($1) order by reserved',
    [[gone.id, here.id]],
  );
  t.strictSame(balances, [{ reserved: '0' }, { reserved: '3' }]);
  t.match(
    await server.backend.database.call('maintain', {}, AnyResult),
    { ran: true, expired_subjects: 0 },
    'nothing is left',
  );
  await server.verifyLedger(t);
});

t.end();
