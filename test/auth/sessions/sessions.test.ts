import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

interface Session {
  readonly id: string;
  readonly current: boolean;
}

async function logInAgain(
  user: TestUser,
  userAgent = 'Extension/1.0',
): Promise<{ token: string; refresh_token: string }> {
  const response = await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    headers: { 'user-agent': userAgent },
    payload: { email: user.email, password: user.password },
  });
  return response.json();
}

const requestStatus = async (token: string) => (await sendWith(server, token, 'GET', '/api/auth/sessions')).statusCode;
const refreshStatus = async (refresh_token: string) =>
  (await server.app.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token } })).statusCode;

t.test('logging out ends this session on the very next request, and no other', async (t) => {
  const user = await registerUser(server);
  const other = await logInAgain(user);
  const response = await user.as('POST', '/api/auth/logout');
  t.strictSame([response.statusCode, response.json()], [200, { ended: 1 }]);
  t.equal(await requestStatus(user.token), 401);
  t.equal(await refreshStatus(user.refreshToken), 401);
  t.equal((await user.as('POST', '/api/auth/logout')).statusCode, 401, 'a second time there is nobody to log out');
  t.equal(await requestStatus(other.token), 200);
  t.equal(await refreshStatus(other.refresh_token), 200);
});

t.test('logging out everywhere ends every session of the account, and of nobody else', async (t) => {
  const user = await registerUser(server);
  const stranger = await registerUser(server);
  const others = [await logInAgain(user), await logInAgain(user)];
  t.strictSame((await user.as('POST', '/auth/logout', { all: true })).json(), { ended: 3 });
  for (const { token, refresh_token } of others) {
    t.equal(await requestStatus(token), 401);
    t.equal(await refreshStatus(refresh_token), 401);
  }
  t.equal(await requestStatus(stranger.token), 200);
});

const logOut = (token: string | undefined, payload?: object) =>
  sendWith(server, token, 'POST', '/api/auth/logout', payload);

t.test('a refresh token ends its session without an access token, also one that was exchanged since', async (t) => {
  const user = await registerUser(server);
  const other = await logInAgain(user);
  t.strictSame((await logOut(undefined, { refresh_token: other.refresh_token })).json(), { ended: 1 });
  t.equal(await requestStatus(other.token), 401);
  t.equal(await refreshStatus(other.refresh_token), 401);
  t.equal(await refreshStatus(user.refreshToken), 200, 'the other session goes on');
  t.strictSame((await logOut(undefined, { refresh_token: user.refreshToken })).json(), { ended: 1 });
  t.equal(await requestStatus(user.token), 401);
  const again = await logOut(undefined, { refresh_token: user.refreshToken });
  t.strictSame([again.statusCode, again.json()], [200, { ended: 0 }], 'what is over needs no ending');
  t.match((await logOut(undefined, {})).json(), { code: 'MISSING_TOKEN' });
  t.match((await logOut(undefined, { all: true })).json(), { code: 'MISSING_TOKEN' });
  t.equal((await logOut(undefined, { refresh_token: '' })).statusCode, 400);
});

t.test('a refresh token of another session ends that one as well, whoever it belongs to', async (t) => {
  const user = await registerUser(server);
  const [other, third] = [await logInAgain(user), await logInAgain(user)];
  const stranger = await registerUser(server);
  t.strictSame((await logOut(user.token, { refresh_token: other.refresh_token })).json(), { ended: 2 });
  t.equal(await requestStatus(user.token), 401);
  t.equal(await requestStatus(other.token), 401);
  t.strictSame((await logOut(stranger.token, { refresh_token: stranger.refreshToken })).json(), { ended: 1 });
  const ended = await logOut(stranger.token, { refresh_token: third.refresh_token });
  t.strictSame([ended.statusCode, ended.json()], [200, { ended: 1 }], 'the bearer may have ended before');
  t.equal(await requestStatus(third.token), 401);
});

t.test(
  'a bearer that is over keeps no refresh token from ending its session, and is no good without one',
  async (t) => {
    const user = await registerUser(server);
    const device = await server.registerDevice();
    // What clients put before every request: the token of a session that is to end has often ended itself.
    for (const bearer of ['not.a.token', device.token]) {
      const other = await logInAgain(user);
      t.equal((await logOut(bearer, { all: true })).statusCode, 401);
      t.equal((await logOut(bearer)).statusCode, 401);
      t.strictSame((await logOut(bearer, { refresh_token: other.refresh_token })).json(), { ended: 1 });
      t.equal(await requestStatus(other.token), 401);
    }
    t.equal(await requestStatus(user.token), 200, 'the other session goes on');
  },
);

t.test('all sessions end with a refresh token too; a key needs none of them to end one', async (t) => {
  const user = await registerUser(server);
  const [other, third] = [await logInAgain(user), await logInAgain(user)];
  const key = await createApiKey(user);
  t.strictSame((await logOut(key, { refresh_token: third.refresh_token })).json(), { ended: 1 });
  t.strictSame((await logOut(undefined, { all: true, refresh_token: other.refresh_token })).json(), { ended: 2 });
  t.equal(await requestStatus(user.token), 401);
});

t.test('an API key has no session to end, but can end them all', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  t.match((await sendWith(server, key, 'POST', '/api/auth/logout')).json(), { code: 'NO_SESSION' });
  t.equal(await requestStatus(user.token), 200);
  t.strictSame((await sendWith(server, key, 'POST', '/api/auth/logout', { all: true })).json(), { ended: 1 });
  t.equal(await requestStatus(user.token), 401);
  t.equal(await requestStatus(key), 200, 'the key goes on');
});

t.test('the list names each running session, with what logged in, and which one asks', async (t) => {
  const user = await registerUser(server);
  await logInAgain(user, 'Extension/2.0');
  const { sessions } = (await user.as('GET', '/api/auth/sessions')).json<{ sessions: Session[] }>();
  t.match(sessions, [
    { user_agent: 'Extension/2.0', address: '127.0.0.1', current: false, created_at: /\+00:00$/ },
    { current: true },
  ]);
  t.equal(sessions.length, 2);
  await server.database.sql('update private.sessions set expires_at = now() where id = $1', [sessions[0]?.id]);
  t.equal((await user.as('GET', '/api/auth/sessions')).json<{ sessions: Session[] }>().sessions.length, 1);
});

t.test('pages of the list neither repeat nor skip a session', async (t) => {
  const user = await registerUser(server);
  for (let n = 0; n < 6; n += 1) await logInAgain(user);
  // All at one moment, as those of a burst may be.
  await server.database.sql('update private.sessions set created_at = $2 where user_id = $1', [user.id, '2026-01-01Z']);
  const seen: string[] = [];
  for (let cursor = ''; ; ) {
    const url = `/api/auth/sessions?limit=3${cursor && `&cursor=${cursor}`}`;
    const page = (await user.as('GET', url)).json<{ sessions: Session[]; next_cursor: string | null }>();
    seen.push(...page.sessions.map(({ id }) => id));
    if (page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  t.equal(seen.length, 7);
  t.equal(new Set(seen).size, 7);
  const forged = Buffer.from('{"at":"yesterday-ish","id":"x"}').toString('base64url');
  t.equal((await user.as('GET', `/api/auth/sessions?cursor=${forged}`)).statusCode, 400);
});

t.test("one session can be ended by its id; another person's is answered like an unknown one", async (t) => {
  const user = await registerUser(server);
  const stranger = await registerUser(server);
  const second = await logInAgain(user);
  const { sessions } = (await user.as('GET', '/api/auth/sessions')).json<{ sessions: Session[] }>();
  const id = sessions.find(({ current }) => !current)?.id;
  t.match(await stranger.as('DELETE', `/api/auth/sessions/${id}`), { statusCode: 404 });
  t.match((await stranger.as('DELETE', `/api/auth/sessions/${randomUUID()}`)).json(), { code: 'SESSION_NOT_FOUND' });
  t.equal(await requestStatus(second.token), 200);
  t.strictSame((await user.as('DELETE', `/api/auth/sessions/${id}`)).json(), { ended: 1 });
  t.equal(await requestStatus(second.token), 401);
  t.equal((await user.as('DELETE', `/api/auth/sessions/not-a-uuid`)).statusCode, 400);
});

t.test('a very long program name is cut, not refused', async (t) => {
  const user = await registerUser(server);
  t.match(await logInAgain(user, 'x'.repeat(5_000)), { token: String });
});

t.end();
