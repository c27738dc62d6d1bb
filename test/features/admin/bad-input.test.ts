import { randomUUID } from 'node:crypto';
import { logInAsAdmin, PASSWORD } from '../../helpers/admin.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);
const device = await server.registerDevice();
const other = await server.registerDevice();

/** Every admin route that takes a body, with one it accepts. */
/** Routes of contract 3. */
const PUBLISHED = ['/admin/login', '/admin/allocate', '/admin/reset-monthly', '/admin/block-device'];
const ENDPOINTS: readonly Endpoint[] = [
  endpoint('POST', '/admin/login', { username: 'root', password: PASSWORD }, { username: 'text', password: 'text' }),
  endpoint(
    'POST',
    '/admin/allocate',
    { device_id: device.id, tokens: 1, from_device_id: other.id },
    {
      device_id: 'id',
      tokens: 'change',
      from_device_id: 'nullable id',
      user_id: 'nullable id',
      from_user_id: 'nullable id',
    },
  ),
  endpoint('PUT', '/admin/budget', { total: 10_000 }, { total: 'limit', subject_kind: 'text' }),
  endpoint(
    'POST',
    '/admin/reset-monthly',
    { default_tokens: 50 },
    { default_tokens: 'counter', force: 'nullable flag' },
  ),
  endpoint('PUT', '/admin/model-costs', { model_costs: [{ model: 'gpt-5', cost: 1 }] }, { model_costs: 'list' }),
  endpoint(
    'PUT',
    '/admin/model-weights',
    { model_weights: [{ model: 'a/b', input_weight: 1 }] },
    { model_weights: 'list' },
  ),
  endpoint(
    'POST',
    '/admin/block-device',
    { device_id: device.id, blocked: false },
    { device_id: 'id', blocked: 'flag' },
  ),
  {
    ...endpoint('PATCH', `/admin/devices/${device.id}`, { name: 'Renamed' }, { name: 'text' }),
    documented: '/api/admin/devices/{id}',
  },
  endpoint('POST', '/admin/users', { email: 'new@example.com' }, { email: 'text', name: 'text', password: 'text' }),
  endpoint(
    'POST',
    '/admin/password',
    { current_password: PASSWORD, new_password: 'another long password' },
    { current_password: 'text', new_password: 'text' },
  ),
];

function endpoint(
  method: Endpoint['method'],
  path: string,
  body: Record<string, unknown>,
  fields: Endpoint['fields'],
): Endpoint {
  return {
    method,
    path,
    documented: `/api${path}`,
    guarded: true,
    body,
    fields,
    ignoresUnknown: PUBLISHED.includes(path),
  };
}

const headers = { 'content-type': 'application/json', authorization: `Bearer ${admin.token}` };

t.test('every admin route rejects every bad body with a status it declares', async (t) => {
  const before = await readChecksums(server.database);
  for (const route of ENDPOINTS) {
    const declared = await declaredStatuses(server, route);
    const flaws: string[] = [];
    for (const payload of createBadBodies(route)) {
      const url = `/api${route.path}`;
      const response = await server.app.inject({ method: route.method, url, headers, payload });
      flaws.push(...findFlaws(response, describeBody(payload), declared));
    }
    t.strictSame(flaws, [], `${route.method} ${route.path}`);
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('each body of the corpus would be accepted but for one fault', async (t) => {
  for (const { method, path, body } of ENDPOINTS) {
    const response = await server.app.inject({ method, url: `/api${path}`, headers, payload: body ?? {} });
    t.match(String(response.statusCode), /^20[01]$/, `${method} ${path}`);
  }
  await server.verifyLedger(t);
});

t.test('unknown and invalid ids are refused', async (t) => {
  const fresh = await logInAsAdmin(server, 'second');
  for (const [id, status] of [
    [randomUUID(), 404],
    ['not-a-uuid', 400],
    ['%00', 400],
    ["'--", 400],
  ] as const) {
    for (const [method, path, body] of [
      ['POST', `/api/admin/devices/${id}/rotate`, undefined],
      ['PATCH', `/api/admin/devices/${id}`, { name: 'x' }],
      ['DELETE', `/api/admin/devices/${id}`, undefined],
    ] as const) {
      const response = await fresh.as(method, path, body);
      t.equal(response.statusCode, status, `${method} ${path}`);
      t.strictSame(findFlaws(response, path), []);
    }
  }
  for (const number of ['0', '-1', 'x', '1.5', '9999999999']) {
    t.equal((await fresh.as('GET', `/api/admin/periods/${number}`)).statusCode, 400, number);
  }
  t.equal((await fresh.as('POST', `/api/admin/devices/${device.id}/rotate`, { all: true })).statusCode, 400);
  const unknownUser = await fresh.as('POST', '/api/admin/allocate', { user_id: randomUUID(), tokens: 1 });
  t.match(unknownUser.json(), { code: 'USER_NOT_FOUND' });
  await server.verifyLedger(t);
});

t.end();
