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

function endpoint(path: string, guarded: boolean, body: Record<string, unknown>, fields: Endpoint['fields']): Endpoint {
  const ignoresUnknown = path.startsWith('/auth/');
  return { method: 'POST', path, documented: `/api${path}`, guarded, body, fields, ignoresUnknown };
}

const credentials = { email: 'bad-input@example.com', password: 'correct horse battery staple' };
const ENDPOINTS: readonly Endpoint[] = [
  endpoint('/auth/register', false, credentials, { email: 'text', password: 'text', name: 'nullable text' }),
  endpoint('/auth/login', false, credentials, { email: 'text', password: 'text' }),
  endpoint('/auth/refresh', false, { refresh_token: user.refreshToken }, { refresh_token: 'text' }),
  endpoint('/users/me/api-keys', true, { name: 'Script' }, { name: 'text', expires_at: 'text' }),
  endpoint('/auth/logout', true, { all: true }, { all: 'nullable flag' }),
];
/** A log-out without a body, or with an empty one, is as good as any. */
const HARMLESS: Readonly<Record<string, readonly string[]>> = { '/auth/logout': ['', '{}', 'null'] };

const headers = { 'content-type': 'application/json', authorization: `Bearer ${user.token}` };

t.test('every bad body is refused on every route, with a status the route declares', async (t) => {
  const before = await readChecksums(server.database);
  for (const route of ENDPOINTS) {
    const declared = await declaredStatuses(server, route);
    const flaws: string[] = [];
    for (const payload of createBadBodies(route)) {
      if (HARMLESS[route.path]?.includes(payload)) continue;
      const response = await server.app.inject({ method: route.method, url: `/api${route.path}`, headers, payload });
      flaws.push(...findFlaws(response, describeBody(payload), declared));
    }
    t.strictSame(flaws, [], route.path);
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('the corpus is made of bodies that are accepted but for one thing', async (t) => {
  for (const { path, body } of ENDPOINTS) {
    const response = await server.app.inject({ method: 'POST', url: `/api${path}`, headers, payload: body ?? {} });
    t.match(String(response.statusCode), /^20[01]$/, path);
  }
  await server.verifyLedger(t);
});

t.end();
