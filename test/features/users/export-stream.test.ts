import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';
import { recordUses } from '../../helpers/usage.js';

const database = await openTestCluster(t);
const server = await openTestServer(t, { database });
const url = await server.listen();

/** Opens an export over HTTP and waits for its first bytes; the rest is not read yet. */
async function begin(t: Test, token: string): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const request = get(`${url}/api/users/me/export`, { headers, agent: false }, resolve).on('error', reject);
    t.after(() => request.destroy());
  });
  t.equal(response.statusCode, 200);
  await new Promise((resolve) => response.once('readable', resolve));
  return response;
}

// Far more than sockets buffer, so that the server cannot finish while nobody reads.
const eve = await registerUser(server);
const longUrl = `https://example.com/${'x'.repeat(2_000)}`;
for (let n = 0; n < 3; n += 1) {
  await recordUses(database, { subject: eve.id, user: eve.id, count: 5_000, url: longUrl });
}
const eveKey = await createApiKey(eve);

t.test('a client that goes away or reads late does no harm, and who reads to the end gets it all', async (t) => {
  (await begin(t, eve.token)).destroy();
  const late = await begin(t, eve.token);
  for (const response of [await begin(t, eve.token), late]) {
    const file: { usage_events: object[] } = JSON.parse(await text(response));
    t.equal(file.usage_events.length, 15_000);
    t.equal(response.complete, true);
  }
});

t.test('one person has four files on their way at most, and places come back', async (t) => {
  const first = await begin(t, eve.token);
  const others = [await begin(t, eve.token), await begin(t, eveKey), await begin(t, eve.token)];
  const refused = await eve.as('GET', '/api/users/me/export');
  t.match(refused, { statusCode: 429, headers: { 'retry-after': '2' } });
  t.match(refused.json(), { code: 'RATE_LIMITED' });
  t.equal((await eve.as('GET', '/api/usage.csv')).statusCode, 429, 'every kind counts');
  const someone = await registerUser(server);
  t.equal((await someone.as('GET', '/api/users/me/export')).statusCode, 200);
  first.destroy();
  for (const other of others) await text(other);
  await until('a place is free', async () => (await eve.as('GET', '/api/usage.csv')).statusCode === 200 || undefined);
});

t.test('a session that ends in the middle ends the export', async (t) => {
  const response = await begin(t, eve.token);
  t.equal((await eve.as('POST', '/api/auth/logout')).statusCode, 200);
  await t.rejects(text(response), { code: 'ECONNRESET' });
  t.equal(response.complete, false);
});

t.test(
  'where the database dies in the middle, the connection is cut, so that the file cannot look whole',
  async (t) => {
    const response = await begin(t, eveKey);
    await database.cluster.stop();
    await t.rejects(text(response), { code: 'ECONNRESET' });
    t.equal(response.complete, false);

    const later = await sendWith(server, eveKey, 'GET', '/api/users/me/export');
    t.equal(later.statusCode, 503, 'from the start it is an error');
    t.match(later.json(), { code: 'SERVICE_UNAVAILABLE' });
  },
);

t.end();
