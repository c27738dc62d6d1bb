import t from 'tap';
import { readConfig } from '../../src/config.js';
import { createLogger } from '../../src/http/logging.js';
import { maintain, startMaintenance } from '../../src/maintenance/timer.js';
import { openTestServer, testEnvironment } from '../helpers/test-server.js';
import { untilTrue } from '../helpers/until.js';

const server = await openTestServer(t);
const { database } = server.backend;
const configured = (overrides: Record<string, string>) => readConfig(testEnvironment(server.database, overrides));
const aMonthLater = () =>
  server.database.sql(`update periods set started_at = now() - interval '32 days' where closed_at is null`);

t.test('the monthly reset happens by itself only where it is configured, with the configured tokens', async (t) => {
  const device = await server.registerDevice();
  await aMonthLater();
  t.match(await maintain(database, configured({})), { ran: true, reset: false });
  const settings = configured({ MONTHLY_RESET: 'auto', DEFAULT_DEVICE_TOKENS: '80' });
  t.match(await maintain(database, settings), { ran: true, reset: true });
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 80 });
  await server.verifyLedger(t);
});

t.test('a server looks after the database as soon as it starts', async (t) => {
  const device = await server.registerDevice();
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second'`);
  const stop = startMaintenance(database, configured({}), createLogger('silent'));
  const reserved = () =>
    server.database.sql<{ reserved: string }>('select reserved from balances where subject_id = $1', [device.id]);
  await untilTrue(async () => (await reserved())[0]?.reserved === '0');
  stop();
  t.strictSame(await reserved(), [{ reserved: '0' }], 'the expired hold was given back');
  await server.verifyLedger(t);
});

t.end();
