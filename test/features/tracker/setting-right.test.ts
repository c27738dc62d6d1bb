import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { readCounters, signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const { sql } = server.database;
const admin = await logInAsAdmin(server);

function track(token: string, usage = 1, tokenCount = 1_000) {
  const headers = { authorization: `Bearer ${token}` };
  return server.app.inject({ method: 'POST', url: '/api/trackUsage', headers, payload: { usage, tokenCount } });
}

/** Has a stranger count for a person, on several days. */
async function poison(user: TestUser): Promise<string> {
  const token = await signUp(server, user.email);
  for (let n = 0; n < 3; n += 1) await track(token, 1_000, 10_000_000);
  return token;
}

t.test('a person ends every tracker token of the account; new ones work', async (t) => {
  const user = await registerUser(server);
  const token = await poison(user);
  const revoked = await user.as('POST', '/api/users/me/tracker/revoke');
  t.equal(revoked.statusCode, 200);
  t.strictSame(revoked.json(), { prompts: 3_000, tokens: 30_000_000, enabled: true });
  const refused = await track(token);
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'TRACKER_TOKEN_INVALID' });
  t.equal((await track(await signUp(server, user.email))).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('a person sets the counters right: summaries follow, others keep theirs, and the audit log knows', async (t) => {
  const neighbour = await registerUser(server);
  await track(await signUp(server, neighbour.email), 7, 70);
  const user = await registerUser(server);
  await poison(user);
  const changed = await user.as('PUT', '/api/users/me/tracker', { prompts: 40, tokens: 12_000 });
  t.strictSame(changed.json(), { prompts: 40, tokens: 12_000, enabled: true });
  t.match(await readCounters(server, user.id), { prompts: '40', tokens: '12000' });
  t.match((await user.as('GET', '/api/users/me/tracker')).json(), { prompts: 40, tokens: 12_000 });
  const summary = await user.as('GET', '/api/usage/summary');
  t.match(summary.payload, /12000/);
  t.notMatch(summary.payload, /30000000/);
  await track(await signUp(server, user.email), 1, 10);
  t.match(await readCounters(server, user.id), { prompts: '41', tokens: '12010' });
  t.match(await readCounters(server, neighbour.id), { prompts: '7', tokens: '70' });
  const [line] = await sql('select actor, before, after from audit_log where target = $1', [`user:${user.id}`]);
  t.match(line, {
    actor: `user:${user.id}`,
    before: { prompts: 3_000, tokens: 30_000_000 },
    after: { prompts: 40, tokens: 12_000 },
  });
  await server.verifyLedger(t);

  t.strictSame((await user.as('PUT', '/api/users/me/tracker', { prompts: 0, tokens: 0 })).statusCode, 200);
  t.strictSame(await sql(`select 1 from usage_events where subject_id = $1`, [user.id]), []);
  await server.verifyLedger(t);
});

t.test('a person takes no more trackers: tokens end, and none are given out until that changes', async (t) => {
  const user = await registerUser(server);
  const token = await poison(user);
  t.match((await user.as('PUT', '/api/users/me/tracker', { enabled: false })).json(), { enabled: false });
  t.equal((await track(token)).statusCode, 403);
  const signup = () => server.app.inject({ method: 'POST', url: '/signup', payload: { email: user.email } });
  t.match((await signup()).json(), { code: 'TRACKER_DISABLED' });
  t.equal((await signup()).statusCode, 403);
  await user.as('PUT', '/api/users/me/tracker', { enabled: true });
  t.equal((await signup()).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('an admin does the same for any account, and nobody else does', async (t) => {
  const user = await registerUser(server);
  const token = await poison(user);
  const url = `/api/admin/users/${user.id}/tracker`;
  t.match((await admin.as('GET', url)).json(), { prompts: 3_000 });
  t.strictSame((await admin.as('POST', `${url}/revoke`)).json(), { prompts: 3_000, tokens: 30_000_000, enabled: true });
  t.equal((await track(token)).statusCode, 403);
  t.strictSame((await admin.as('PUT', url, { prompts: 1, tokens: 2, enabled: false })).json(), {
    prompts: 1,
    tokens: 2,
    enabled: false,
  });
  const lines = await sql<{ actor: string }>('select actor from audit_log where target = $1', [`user:${user.id}`]);
  t.strictSame(
    lines.map(({ actor }) => actor),
    ['admin:root', 'admin:root'],
    'reading leaves no line',
  );
  t.equal((await admin.as('GET', '/api/admin/users/00000000-0000-4000-8000-000000000000/tracker')).statusCode, 404);
  for (const method of ['GET', 'PUT'] as const) {
    t.equal((await user.as(method, url, method === 'PUT' ? { enabled: true } : undefined)).statusCode, 401);
  }
  await server.verifyLedger(t);
});

t.test('counters are set both or neither, within what they can hold', async (t) => {
  const user = await registerUser(server);
  for (const body of [{}, { prompts: 1 }, { tokens: 1 }, { prompts: -1, tokens: 1 }, { prompts: 1, tokens: 2 ** 53 }]) {
    const response = await user.as('PUT', '/api/users/me/tracker', body);
    t.equal(response.statusCode, 400, JSON.stringify(body));
    t.match(response.json(), { code: 'VALIDATION_FAILED' });
  }
});

t.end();
