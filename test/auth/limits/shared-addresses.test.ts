import { openTestDatabase } from '../../helpers/db/test-database.js';
import { keepLines, readWarnings } from '../../helpers/http/log-lines.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const database = await openTestDatabase(t);

/** Opens a server with limits, and a log to read warnings from. */
async function open(environment: Record<string, string> = {}) {
  const { lines, destination } = keepLines();
  const limits = { RATE_LIMIT: 'on', RATE_LIMIT_REGISTRATION: '100000', LOG_LEVEL: 'warn' };
  const server = await openTestServer(t, { database, environment: { ...limits, ...environment }, log: destination });
  return { server, readWarnings: () => readWarnings(lines) };
}

const CLIENT = { 'x-forwarded-for': '198.51.100.7' };

t.test('a proxy that is not trusted is named once, with what to set', async (t) => {
  const { server, readWarnings: warnings } = await open();
  for (let n = 0; n < 3; n += 1) {
    await server.app.inject({ url: '/api/users/me', remoteAddress: '172.17.0.1', headers: CLIENT });
  }
  t.equal(warnings().length, 1);
  t.match(warnings()[0], /X-Forwarded-For from 172\.17\.0\.1 is not believed/);
  t.match(warnings()[0], /TRUST_PROXY=172\.17\.0\.1/);
  const trusting = await open({ TRUST_PROXY: '172.16.0.0/12' });
  await trusting.server.app.inject({ url: '/api/users/me', remoteAddress: '172.17.0.1', headers: CLIENT });
  t.strictSame(trusting.readWarnings(), []);
});

t.test('an address that many devices and accounts share is named once', async (t) => {
  const { server, readWarnings: warnings } = await open();
  for (let n = 0; n < 49; n += 1) {
    const device = await server.registerDevice();
    await server.as(device, 'GET', `/devices/${device.id}/tokens`);
    await server.as(device, 'GET', `/devices/${device.id}/tokens`);
  }
  t.strictSame(warnings(), []);
  for (let n = 0; n < 3; n += 1) {
    const device = await server.registerDevice();
    await server.as(device, 'GET', `/devices/${device.id}/tokens`);
  }
  t.equal(warnings().length, 1);
  t.match(warnings()[0], /50 devices and accounts share the address 127\.0\.0\.1/);
  await server.verifyLedger(t);
});

t.test('a trusted proxy that passes on no address is named: its clients could choose theirs', async (t) => {
  const { server, readWarnings: warnings } = await open();
  const viaProxy = { url: '/api/users/me', headers: { connection: 'close', 'x-real-ip': '198.51.100.7' } };
  await server.app.inject(viaProxy);
  await server.app.inject(viaProxy);
  t.equal(warnings().length, 1);
  t.match(warnings()[0], /127\.0\.0\.1 .*sets no X-Forwarded-For/);
});

t.end();
