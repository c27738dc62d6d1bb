import { registerUser } from '../../helpers/accounts.js';
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
const user = await registerUser(server);
const headers = { 'content-type': 'application/json' };

/** Every route of a person's own account that takes a body, with one it accepts. */
const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'PUT',
    path: '/users/me',
    documented: '/api/users/me',
    guarded: true,
    body: { name: 'Ada', picture: 'https://example.com/a.png' },
    fields: { name: 'nullable text', picture: 'nullable text' },
    ignoresUnknown: true,
  },
  {
    method: 'POST',
    path: '/users/me/password',
    documented: '/api/users/me/password',
    guarded: true,
    body: { current_password: user.password, new_password: 'another long password' },
    fields: { current_password: 'text', new_password: 'text' },
  },
];

t.test('every bad body is refused, with a status the route declares, and nothing changes', async (t) => {
  const before = await readChecksums(server.database);
  for (const endpoint of ENDPOINTS) {
    const declared = await declaredStatuses(server, endpoint);
    const flaws: string[] = [];
    for (const body of createBadBodies(endpoint)) {
      const response = await user.as(endpoint.method, `/api${endpoint.path}`, body, headers);
      flaws.push(...findFlaws(response, describeBody(body), declared));
    }
    t.strictSame(flaws, [], endpoint.path);
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('bodies that are not JSON are refused where a body is taken, and where none is', async (t) => {
  const before = await readChecksums(server.database);
  const routes = [...ENDPOINTS, { method: 'DELETE' as const, path: '/users/me' }];
  for (const { method, path } of routes) {
    for (const [type, body, status] of [
      ['application/json', '{', 400],
      ['application/xml', '<a/>', 415],
      ['application/json', `"${'x'.repeat(70_000)}"`, 413],
    ] as const) {
      const response = await user.as(method, `/api${path}`, body, { 'content-type': type });
      t.equal(response.statusCode, status, `${method} ${path} ${type}`);
      t.strictSame(findFlaws(response, path), []);
    }
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('the corpus is made of bodies that are accepted but for one thing', async (t) => {
  for (const { method, path, body } of ENDPOINTS) {
    t.equal((await user.as(method, `/api${path}`, { ...body })).statusCode, 200, path);
  }
  await server.verifyLedger(t);
});

t.end();
