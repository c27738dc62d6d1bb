import { registerUser } from '../../helpers/accounts.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const user = await registerUser(server);
const authorization = `Bearer ${await signUp(server, user.email)}`;

const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'POST',
    path: '/signup',
    documented: '/api/signup',
    guarded: false,
    body: { email: user.email },
    fields: { email: 'nullable text' },
    ignoresUnknown: true,
  },
  {
    method: 'POST',
    path: '/trackUsage',
    documented: '/api/trackUsage',
    guarded: true,
    body: { usage: 1, tokenCount: 1 },
    fields: { usage: 'nullable counter', tokenCount: 'nullable counter', event_id: 'nullable text' },
    ignoresUnknown: true,
  },
];

function send({ path }: Endpoint, prefix: string, payload: string, headers: Record<string, string> = {}) {
  const json = { 'content-type': 'application/json', authorization, ...headers };
  return server.app.inject({ method: 'POST', url: `${prefix}${path}`, headers: json, payload });
}

t.test('the corpus is made of bodies that are accepted but for one thing', async (t) => {
  for (const endpoint of ENDPOINTS) {
    t.equal((await send(endpoint, '/api', JSON.stringify(endpoint.body))).statusCode, 200, endpoint.path);
    t.ok(createBadBodies(endpoint).length > 40, 'a corpus worth the name');
  }
  await server.verifyLedger(t);
});

t.test('every bad body is refused on both routes, with a status the route declares', async (t) => {
  const before = await readChecksums(server.database);
  for (const endpoint of ENDPOINTS) {
    const declared = await declaredStatuses(server, endpoint);
    for (const prefix of PREFIXES) {
      const flaws: string[] = [];
      for (const body of createBadBodies(endpoint)) {
        flaws.push(...findFlaws(await send(endpoint, prefix, body), describeBody(body), declared));
      }
      t.strictSame(flaws, [], `${prefix}${endpoint.path}`);
    }
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('what lies beyond the limits, or is missing, is refused with 400', async (t) => {
  const before = await readChecksums(server.database);
  const [signup, track] = ENDPOINTS;
  if (signup === undefined || track === undefined) throw new Error('both routes are listed');
  for (const body of [
    { usage: 1_000_001, tokenCount: 1 },
    { usage: 1, tokenCount: 1_000_000_000_001 },
    { usage: 1_001, tokenCount: 1 },
    { usage: 1, tokenCount: 10_000_001 },
    { email: user.email },
  ]) {
    const response = await send(track, '/api', JSON.stringify(body));
    t.match(response.json(), { code: 'VALIDATION_FAILED' }, JSON.stringify(body));
    t.equal(response.statusCode, 400);
  }
  for (const key of ['', ' ', 'a b', 'x'.repeat(256), 'schlüssel']) {
    const response = await send(track, '/api', JSON.stringify(track.body), { 'idempotency-key': key });
    t.equal(response.statusCode, 400, describeBody(key));
  }
  for (const email of ['a', '@', 'a@', '@b', 'a@b@c', 'a b@c', `${'x'.repeat(320)}@example.com`, `x@y\u200b.com`]) {
    const response = await send(signup, '/api', JSON.stringify({ email }));
    t.match(response.json(), { code: 'VALIDATION_FAILED' }, describeBody(email));
  }
  t.strictSame(await readChecksums(server.database), before, 'no table changed');
});

t.test('the largest use there is is counted', async (t) => {
  const [, track] = ENDPOINTS;
  if (track === undefined) throw new Error('the route is listed');
  const response = await send(track, '/api', JSON.stringify({ usage: 1_000, tokenCount: 10_000_000 }));
  t.match(response.json(), { currentPromptCount: 1_001, currentTokenCount: 10_000_001 });
  await server.verifyLedger(t);
});

t.end();
