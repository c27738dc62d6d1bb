import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { findFlaws } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);
const user = await registerUser(server);

const LISTS = [
  { who: admin, path: '/api/admin/dashboard', text: 'q' },
  { who: admin, path: '/api/admin/audit' },
  { who: admin, path: '/api/admin/periods' },
  { who: admin, path: '/api/admin/users' },
  { who: admin, path: '/api/admin/usage', text: 'model' },
  { who: user, path: '/api/auth/sessions' },
  { who: user, path: '/api/usage', text: 'provider' },
];

t.test('a limit that is not a finite number is refused on every list', async (t) => {
  for (const { who, path } of LISTS) {
    for (const limit of ['1e400', '-1e400', 'Infinity', 'NaN', '0x10', '1e2', '', '201']) {
      const response = await who.as('GET', `${path}?limit=${limit}`);
      if (limit === '1e2' || limit === '0x10') t.equal(response.statusCode, 200, 'a number, written otherwise');
      else t.strictSame(findFlaws(response, `${path} ${limit}`, new Set([400])), []);
    }
  }
});

t.test('text that Postgres cannot store is refused in queries and in cursors', async (t) => {
  for (const { who, path, text } of LISTS) {
    const position = Buffer.from('{"at":"2026-01-01\\u0000","id":"\\u0000","value":"\\ud800"}').toString('base64url');
    const queries = [`cursor=${position}`, ...(text === undefined ? [] : [`${text}=%00`, `${text}=a%00b`])];
    for (const query of queries) {
      t.strictSame(findFlaws(await who.as('GET', `${path}?${query}`), `${path} ${query}`, new Set([400])), []);
    }
  }
});

t.test('an id must be written as Postgres writes it, without a prefix', async (t) => {
  const device = await server.registerDevice();
  for (const id of [`urn:uuid:${device.id}`, `URN:UUID:${device.id}`, `{${device.id}}`]) {
    const path = `/api/admin/devices/${encodeURIComponent(id)}`;
    t.strictSame(findFlaws(await admin.as('PATCH', path, { name: 'x' }), path, new Set([400])), []);
    const allocation = await admin.as('POST', '/api/admin/allocate', { device_id: id, tokens: 1 });
    t.strictSame(findFlaws(allocation, id, new Set([400])), []);
  }
  const upper = await admin.as('PATCH', `/api/admin/devices/${device.id.toUpperCase()}`, { name: 'x' });
  t.equal(upper.statusCode, 200, 'in capitals it is the same id');
  await server.verifyLedger(t);
});

t.end();
