import { randomUUID } from 'node:crypto';
import { registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, mailedToken, NEW_PASSWORD, resetPassword } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { ADA, CHALLENGE, exchangeCode, obtainCode, openGoogle, signIn, VERIFIER } from '../../helpers/sign-in.js';
import { enrolUser, forgetUsedCodes, showCode } from '../../helpers/totp.js';
import { until } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const google = await openGoogle(t);
const server = await openTestServer(t, { environment: { ...google.environment, ...mailEnvironment(smtp) } });
const { sql } = server.database;

const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });
const logIn = ({ email, password }: Pick<TestUser, 'email' | 'password'>, totp?: string) =>
  post('/auth/login', { email, password, ...(totp !== undefined && { totp }) });
const answer = (challenge: string, totp: string) => post('/api/auth/second-factor', { challenge, totp });

/** Logs in by the password, and returns what the sign-in waits with. */
async function beginLogin(user: TestUser): Promise<string> {
  return (await logIn(user)).json<{ challenge: string }>().challenge;
}

async function openProtected() {
  const user = await registerUser(server);
  return { ...user, ...(await enrolUser(user)) };
}

t.test('the right password opens nothing, and says what to send; with a code it does', async (t) => {
  const user = await openProtected();
  const asked = await logIn(user);
  t.equal(asked.statusCode, 401);
  const body = asked.json<Record<string, unknown>>();
  t.match(body, { code: 'SECOND_FACTOR_REQUIRED', challenge: /^[\w-]{43}$/, expires_in: 300 });
  t.match(body['message'], /second factor/, 'clients that know no more show a sentence');
  t.equal(body['message'], body['error']);
  t.notOk('token' in body || 'user' in body);

  const opened = await logIn(user, showCode(user.secret));
  t.equal(opened.statusCode, 200);
  const { token, refresh_token } = opened.json<{ token: string; refresh_token: string }>();
  t.equal((await sendWith(server, token, 'GET', '/api/users/me')).statusCode, 200);
  t.equal((await post('/auth/refresh', { refresh_token })).statusCode, 200, 'going on asks for no code');
  const finished = await answer(await beginLogin(user), showCode(user.secret, 1));
  t.match(finished.json(), { token: String, user: { email: user.email } }, 'as a second step too');
});

t.test('a wrong password is answered the same with a second factor and without, whatever comes with it', async (t) => {
  const [plain, user] = [await registerUser(server), await openProtected()];
  const wrong = (of: TestUser, totp?: string) => logIn({ ...of, password: 'wrong password' }, totp);
  const expected = (await wrong(plain)).json();
  t.match(expected, { code: 'INVALID_CREDENTIALS' });
  t.strictSame((await wrong(user)).json(), expected);
  t.strictSame((await wrong(user, showCode(user.secret))).json(), expected);
  t.strictSame((await logIn({ email: `${randomUUID()}@example.com`, password: 'x' }, '123456')).json(), expected);
  t.equal((await logIn(user, showCode(user.secret))).statusCode, 200, 'and no code is used up by it');
  t.equal((await logIn(plain, '123456')).statusCode, 200, 'without a second factor a code is not looked at');
});

t.test('a code is good once, within half a minute of clocks that differ', async (t) => {
  const user = await openProtected();
  for (const totp of [showCode(user.secret, -1), showCode(user.secret, 3), '000000', 'abcdef']) {
    const refused = await logIn(user, totp);
    t.equal(refused.statusCode, 401);
    t.match(refused.json(), { code: 'INVALID_SECOND_FACTOR' });
  }
  t.equal((await logIn(user, showCode(user.secret, 1))).statusCode, 200, 'a clock that is ahead');
  t.match((await logIn(user, showCode(user.secret))).json(), { code: 'INVALID_SECOND_FACTOR' }, 'nor one before it');
});

t.test('of one code sent twice at once, one opens a session', async (t) => {
  const user = await openProtected();
  const lock = {
    statement: 'select from private.user_second_factors where user_id = $1 for update',
    values: [user.id],
    waiting: 2,
  };
  const challenges = [await beginLogin(user), await beginLogin(user)];
  const both = await meetAtLock(server.database, lock, () =>
    Promise.all(challenges.map((challenge) => answer(challenge, showCode(user.secret)))),
  );
  t.strictSame(both.map(({ statusCode }) => statusCode).sort(), [200, 401]);
});

t.test('of one recovery code sent twice at once, one opens a session; it is told by mail', async (t) => {
  const user = await openProtected();
  const [code = '', next = ''] = user.recoveryCodes;
  const lock = {
    statement: 'select from private.user_recovery_codes where user_id = $1 for update',
    values: [user.id],
    waiting: 2,
  };
  const both = await meetAtLock(server.database, lock, () => Promise.all([logIn(user, code), logIn(user, code)]));
  t.strictSame(both.map(({ statusCode }) => statusCode).sort(), [200, 401]);
  t.equal((await logIn(user, next.toUpperCase().replaceAll('-', ' '))).statusCode, 200, 'however it is typed');
  const { token } = both.find(({ statusCode }) => statusCode === 200)?.json<{ token: string }>() ?? { token: '' };
  t.match((await sendWith(server, token, 'GET', '/api/users/me/second-factor')).json(), { recovery_codes_left: 8 });
  const noted = await sql(`select from audit_log where actor = $1 and action = 'use_recovery_code'`, [
    `user:${user.id}`,
  ]);
  t.equal(noted.length, 2);
  await until('the mails arrive', () => {
    const told = smtp.mails.filter(
      ({ to, headers }) => to.includes(user.email) && /recovery code/.test(headers.get('subject') ?? ''),
    );
    return told.length === 2 || undefined;
  });
});

t.test('of two answers to one sign-in at once, one opens a session', async (t) => {
  const user = await openProtected();
  const challenge = await beginLogin(user);
  const lock = { statement: 'select from private.sign_in_challenges for update', waiting: 2 };
  const both = await meetAtLock(server.database, lock, () =>
    Promise.all([answer(challenge, showCode(user.secret)), answer(challenge, user.recoveryCodes[0] ?? '')]),
  );
  t.strictSame(both.map(({ statusCode }) => statusCode).sort(), [200, 401]);
  t.match(both.find(({ statusCode }) => statusCode === 401)?.json(), { code: 'INVALID_CHALLENGE' });
});

t.test('a sign-in waits five minutes and takes five codes, and none after the password was set anew', async (t) => {
  const user = await openProtected();
  const isOver = async (challenge: string, label: string) =>
    t.match((await answer(challenge, showCode(user.secret))).json(), { code: 'INVALID_CHALLENGE' }, label);
  const guessed = await beginLogin(user);
  for (let n = 0; n < 5; n += 1) {
    t.match((await answer(guessed, '000000')).json(), { code: 'INVALID_SECOND_FACTOR' });
  }
  await isOver(guessed, 'after five codes');
  const late = await beginLogin(user);
  await sql('update private.sign_in_challenges set expires_at = now() where user_id = $1', [user.id]);
  await isOver(late, 'after five minutes');
  const before = await beginLogin(user);
  t.equal((await resetPassword(server.app, await mailedToken(server.app, smtp, user.email))).statusCode, 200);
  await isOver(before, 'after another password');
  await isOver('a'.repeat(43), 'that never was');
  const kept = await sql<{ row: string }>('select c::text as row from private.sign_in_challenges c');
  t.notOk(kept.some(({ row }) => [guessed, late, before].some((challenge) => row.includes(challenge))));
});

t.test('codes cannot be guessed: after ten the account waits, from everywhere, also for a right one', async (t) => {
  const user = await openProtected();
  const guess = (n: number, totp: string) =>
    server.app.inject({
      method: 'POST',
      url: '/api/auth/login',
      payload: { email: user.email, password: user.password, totp },
      headers: { 'x-forwarded-for': `192.0.2.${n}` },
    });
  for (let n = 1; n <= 10; n += 1) t.equal((await guess(n, '000000')).statusCode, 401);
  await sql(`delete from private.login_attempts where scope <> 'user:second_factor'`);
  const refused = await guess(11, showCode(user.secret));
  t.equal(refused.statusCode, 429);
  t.match(refused.json(), { code: 'RATE_LIMITED', retry_after: Number });
});

t.test('a password reset opens nothing, and the next sign-in asks for the code', async (t) => {
  const user = await openProtected();
  const reset = await resetPassword(server.app, await mailedToken(server.app, smtp, user.email));
  t.equal(reset.statusCode, 200);
  t.notMatch(reset.json(), { token: String });
  // Nobody had proved the address before: what a stranger may have set up went with the proof.
  t.equal((await logIn({ ...user, password: NEW_PASSWORD })).statusCode, 200);

  const proved = await openProtected();
  await sql('update users set email_verified_at = now() where id = $1', [proved.id]);
  await resetPassword(server.app, await mailedToken(server.app, smtp, proved.email));
  const asked = await logIn({ ...proved, password: NEW_PASSWORD });
  t.match(asked.json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.equal((await logIn({ ...proved, password: NEW_PASSWORD }, showCode(proved.secret))).statusCode, 200);
});

t.test('signing in with a provider asks for the code too, in a browser and for a client', async (t) => {
  const email = `${randomUUID()}@example.com`;
  google.setPerson({ ...ADA, sub: '42', email });
  const opened = (await signIn(server)).json<{ token: string; user: { id: string } }>();
  const { secret } = await enrolUser({ as: (...request) => sendWith(server, opened.token, ...request) });
  const bare = await signIn(server);
  t.equal(bare.statusCode, 401);
  t.match(bare.json(), { code: 'SECOND_FACTOR_REQUIRED', challenge: String });
  const code = await obtainCode(server, { code_challenge: CHALLENGE, code_challenge_method: 'S256' });
  const exchanged = await exchangeCode(server, { code, code_verifier: VERIFIER });
  t.equal(exchanged.statusCode, 401);
  const { challenge } = exchanged.json<{ challenge: string }>();
  t.match((await answer(challenge, showCode(secret))).json(), { token: String, user: { email } });

  google.setPerson({ ...ADA, sub: '42', email: `${randomUUID()}@example.com` });
  await signIn(server);
  t.match(await sql('select email from users where id = $1', [opened.user.id]), [{ email }]);
});

t.test('a suspended account is told so, before any code and after', async (t) => {
  const user = await openProtected();
  const challenge = await beginLogin(user);
  await sql('update users set suspended_at = now() where id = $1', [user.id]);
  t.match((await logIn(user)).json(), { code: 'ACCOUNT_SUSPENDED' });
  t.match((await answer(challenge, showCode(user.secret))).json(), { code: 'ACCOUNT_SUSPENDED' });
  await sql('update users set suspended_at = null where id = $1', [user.id]);
  t.equal((await answer(challenge, showCode(user.secret))).statusCode, 200, 'which uses nothing up');
  await forgetUsedCodes(server, user);
  await server.verifyLedger(t);
});

t.end();
