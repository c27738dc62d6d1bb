import { randomUUID } from 'node:crypto';
import { findFlaws } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t, { environment: { RATE_LIMIT: 'on' } });

function register(prefix: string, address: string) {
  return server.app.inject({
    method: 'POST',
    url: `${prefix}/devices/register`,
    // Behind a trusted proxy, the address of a client is what the proxy says it is.
    headers: { 'x-forwarded-for': address },
    payload: { device_name: 'Laptop', hardware_fingerprint: randomUUID() },
  });
}

t.test('one address registers 120 times a minute over both prefixes; the 121st time is 429', async (t) => {
  const responses = await Promise.all(
    Array.from({ length: 120 }, (_, n) => register(n % 2 === 0 ? '/api' : '', '192.0.2.1')),
  );
  t.notOk(responses.some(({ statusCode }) => statusCode !== 201));
  for (const prefix of ['/api', '']) {
    const refused = await register(prefix, '192.0.2.1');
    t.equal(refused.statusCode, 429);
    t.match(refused.json(), { code: 'RATE_LIMITED', error: /\S/ });
    t.strictSame(findFlaws(refused, '429'), []);
    t.match(refused.headers['retry-after'], /^[1-9]\d*$/);
    t.ok(Number(refused.headers['retry-after']) <= 60);
  }
  const [row] = await server.database.sql<{ count: string }>('select count(*) from devices');
  t.equal(row?.count, '120', 'a refused registration makes no device');
  await server.verifyLedger(t);
});

t.test('another address is not affected', async (t) => {
  t.equal((await register('/api', '192.0.2.2')).statusCode, 201);
  await server.verifyLedger(t);
});

t.test('refused registrations count as well, so that enrollment keys cannot be guessed quickly', async (t) => {
  const guess = () =>
    server.app.inject({
      method: 'POST',
      url: '/api/devices/register',
      headers: { 'x-forwarded-for': '192.0.2.3' },
      payload: {},
    });
  const statuses: number[] = [];
  for (let n = 0; n < 130; n += 1) statuses.push((await guess()).statusCode);
  t.equal(statuses.filter((status) => status === 400).length, 120);
  t.equal(statuses.filter((status) => status === 429).length, 10);
});

t.end();
