import { findFlaws, PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

const WRONG: readonly (readonly [method: Method, path: string, allow: string])[] = [
  ['GET', '/devices/register', 'POST'],
  ['DELETE', '/auth/login', 'POST'],
  ['POST', '/users/me', 'DELETE, GET, HEAD, PUT'],
  ['PUT', '/devices/4b1e5ad3-7e5f-4f5e-8d8e-0d6a4f4b9d11/tokens', 'GET, HEAD'],
  ['POST', '/auth/oauth/google', 'GET'],
];

t.test('a method that a path does not take is 405, and the answer says which it does', async (t) => {
  for (const prefix of PREFIXES) {
    for (const [method, path, allow] of WRONG) {
      const answer = await server.app.inject({ method, url: `${prefix}${path}?x=1` });
      t.equal(answer.statusCode, 405, `${method} ${prefix}${path}`);
      t.equal(answer.headers.allow, allow);
      t.match(answer.json(), { code: 'METHOD_NOT_ALLOWED' });
      t.strictSame(findFlaws(answer, path), []);
    }
  }
  const openAi = await server.app.inject({ method: 'GET', url: '/api/v1/chat/completions' });
  t.equal(openAi.statusCode, 405);
  t.equal(openAi.headers.allow, 'POST');
  t.match(openAi.json(), { error: { code: 'method_not_allowed', type: 'invalid_request_error' } });
});

t.test('health routes take GET only, and are not below the prefix', async (t) => {
  const wrong = await server.app.inject({ method: 'POST', url: '/healthz' });
  t.equal(wrong.statusCode, 405);
  t.equal(wrong.headers.allow, 'GET, HEAD');
  t.equal((await server.app.inject({ method: 'POST', url: '/api/healthz' })).statusCode, 404);
});

t.test('a path that is none stays 404, whatever the method', async (t) => {
  for (const url of ['/nowhere', '/api/users/me/x/', '/users/me/x', '/api', '/v1/nowhere']) {
    for (const method of ['GET', 'POST', 'PUT'] as const) {
      const answer = await server.app.inject({ method, url });
      t.equal(answer.statusCode, 404, `${method} ${url}`);
      t.notOk('allow' in answer.headers);
    }
  }
});

t.end();
