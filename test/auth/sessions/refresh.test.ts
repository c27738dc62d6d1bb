import { randomBytes } from 'node:crypto';
import { registerUser, sendWith } from '../../helpers/accounts.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;

interface Tokens {
  readonly token: string;
  readonly refresh_token: string;
}

async function refresh(refresh_token: string, app = server.app) {
  const response = await app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token } });
  return { status: response.statusCode, ...response.json<Tokens>() };
}

const isLive = async (token: string) => (await sendWith(server, token, 'GET', '/api/auth/sessions')).statusCode === 200;

/** Lets all that was exchanged so far be exchanged longer ago. */
const age = (seconds: number) =>
  sql(`update private.refresh_tokens set used_at = used_at - make_interval(secs => $1)`, [seconds]);

t.test('a refresh token is exchanged for a new access token and the next refresh token', async (t) => {
  const user = await registerUser(server);
  const next = await refresh(user.refreshToken);
  t.equal(next.status, 200);
  t.not(next.refresh_token, user.refreshToken);
  t.match(next, { expires_in: 604_800, user: { id: user.id, email: user.email } });
  t.ok(await isLive(next.token));
  t.ok(await isLive(user.token), 'the earlier access token belongs to the same session and goes on');
  t.equal((await refresh(next.refresh_token)).status, 200);
});

t.test('20 parallel refreshes end in one lineage', async (t) => {
  const user = await registerUser(server);
  const sessionLock = { statement: 'select from private.sessions where user_id = $1 for update', values: [user.id] };
  const all = await meetAtLock(server.database, { ...sessionLock, waiting: 3 }, () =>
    Promise.all(Array.from({ length: 20 }, () => refresh(user.refreshToken))),
  );
  t.strictSame(new Set(all.map(({ status }) => status)), new Set([200]));
  const successors = new Set(all.map(({ refresh_token }) => refresh_token));
  t.equal(successors.size, 1, 'one successor for all');
  const [row] = await sql<{ tokens: string; unused: string }>(
    `select count(*) as tokens, count(*) filter (where used_at is null) as unused
       from private.refresh_tokens t join private.sessions s on s.id = t.session_id where s.user_id = $1`,
    [user.id],
  );
  t.strictSame(row, { tokens: '2', unused: '1' });
  t.equal((await refresh([...successors][0] ?? '')).status, 200);
});

t.test('the parent of a successor that was never used gets it at any time, as its answer was lost', async (t) => {
  const user = await registerUser(server);
  const first = await refresh(user.refreshToken);
  for (const hours of [0, 1, 29 * 24]) {
    await age(hours * 3_600);
    const again = await refresh(user.refreshToken);
    t.equal(again.status, 200);
    t.equal(again.refresh_token, first.refresh_token, 'the same successor');
    t.ok(await isLive(again.token));
  }
  t.equal((await refresh(first.refresh_token)).status, 200, 'and it goes on from there');
});

t.test('a refresh that is repeated makes the session last as long as any other', async (t) => {
  const user = await registerUser(server);
  const first = await refresh(user.refreshToken);
  await sql(`update private.sessions set expires_at = now() + interval '1 hour' where user_id = $1`, [user.id]);
  await sql(
    `update private.refresh_tokens set expires_at = now() + interval '1 hour'
      where session_id = (select id from private.sessions where user_id = $1)`,
    [user.id],
  );
  t.equal((await refresh(user.refreshToken)).refresh_token, first.refresh_token);
  const [row] = await sql<{ session: boolean; token: boolean }>(
    `select s.expires_at > now() + interval '29 days' as session, r.expires_at = s.expires_at as token
       from private.sessions s join private.refresh_tokens r on r.session_id = s.id and r.used_at is null
      where s.user_id = $1`,
    [user.id],
  );
  t.strictSame(row, { session: true, token: true });
});

t.test('used again once its successor was used, a token ends its session: all its tokens die at once', async (t) => {
  const user = await registerUser(server);
  const elsewhere = await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: { email: user.email, password: user.password },
  });
  const first = await refresh(user.refreshToken);
  const second = await refresh(first.refresh_token);
  t.equal((await refresh(user.refreshToken)).status, 401);
  for (const { token } of [user, first, second]) t.notOk(await isLive(token), 'its access tokens are dead');
  t.equal((await refresh(second.refresh_token)).status, 401, 'the newest refresh token is dead');
  t.ok(await isLive(elsewhere.json<Tokens>().token), 'other sessions go on');
  const [line] = await sql(`select action from audit_log where target = $1`, [`user:${user.id}`]);
  t.match(line, { action: 'refresh_token_reused' });
});

t.test('stolen, used by the thief, then used by the owner: neither goes on', async (t) => {
  const user = await registerUser(server);
  const thief = await refresh(user.refreshToken);
  const thiefAgain = await refresh(thief.refresh_token);
  t.equal(thiefAgain.status, 200);
  t.equal((await refresh(user.refreshToken)).status, 401, 'at once, as the successor has been used');
  t.equal((await refresh(thiefAgain.refresh_token)).status, 401);
  t.notOk(await isLive(thiefAgain.token));
  t.notOk(await isLive(user.token));
});

t.test('tokens that never were, of another server, or of another kind are refused', async (t) => {
  const user = await registerUser(server);
  const other = await openTestServer(t);
  const foreign = await registerUser(other);
  const device = await server.registerDevice();
  for (const token of [
    'x',
    randomBytes(32).toString('base64url'),
    foreign.refreshToken,
    user.token,
    device.token,
    `${user.refreshToken}=`,
    user.refreshToken.toUpperCase(),
  ]) {
    t.equal((await refresh(token)).status, 401);
  }
  t.equal(
    (await sendWith(server, user.refreshToken, 'GET', '/api/auth/sessions')).statusCode,
    401,
    'nor is it a bearer',
  );
  t.equal((await refresh(user.refreshToken)).status, 200, 'none of this harmed the session');
});

t.test(
  'where the successor cannot be derived any more, as the secret is another, a fresh one takes its place',
  async (t) => {
    const user = await registerUser(server);
    const lost = await refresh(user.refreshToken);
    const rekeyed = await openTestServer(t, { database: server.database });
    const fresh = await refresh(user.refreshToken, rekeyed.app);
    t.equal(fresh.status, 200);
    t.not(fresh.refresh_token, lost.refresh_token);
    t.equal((await refresh(lost.refresh_token)).status, 401, 'the one before is good for nothing');
    t.equal((await refresh(fresh.refresh_token, rekeyed.app)).status, 200, 'and harms nobody');
  },
);

t.test('a session that is not refreshed ends when its time is over', async (t) => {
  const user = await registerUser(server);
  await sql(`update private.sessions set expires_at = now() where user_id = $1`, [user.id]);
  t.equal((await refresh(user.refreshToken)).status, 401);
  t.notOk(await isLive(user.token));
});

t.test('the lifetimes are those of the configuration', async (t) => {
  const environment = { JWT_EXPIRES_IN: '15m', JWT_REFRESH_EXPIRES_IN: '2h' };
  const brief = await openTestServer(t, { database: server.database, environment });
  const user = await registerUser(brief);
  t.match(await refresh(user.refreshToken, brief.app), { status: 200, expires_in: 900 });
  const [row] = await sql<{ ends: boolean }>(
    `select expires_at between now() + interval '119 minutes' and now() + interval '120 minutes' as ends
       from private.sessions where user_id = $1`,
    [user.id],
  );
  t.equal(row?.ends, true);
});

t.test('only digests of refresh tokens are kept', async (t) => {
  const user = await registerUser(server);
  const { refresh_token } = await refresh(user.refreshToken);
  const rows = await sql<{ row: string }>(`select t::text as row from private.refresh_tokens t`);
  for (const token of [user.refreshToken, refresh_token]) {
    const forms = [token, Buffer.from(token, 'base64url').toString('hex'), Buffer.from(token).toString('hex')];
    t.notOk(rows.some(({ row }) => forms.some((form) => row.includes(form))));
  }
});

t.end();
