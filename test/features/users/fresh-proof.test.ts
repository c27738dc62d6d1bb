import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, mailedToken, NEW_PASSWORD, resetPassword } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: mailEnvironment(smtp) });
const { sql } = server.database;

/** Lets a person's sessions be as old as those that thieves find. */
const age = ({ id }: TestUser) =>
  sql(`update private.sessions set proved_at = now() - interval '5 minutes' where user_id = $1`, [id]);
const prove = (user: TestUser, payload: object) => user.as('POST', '/api/auth/reauthenticate', payload);
const deleteMe = (user: TestUser) => user.as('DELETE', '/api/users/me');
const mailTo = (user: TestUser, subject: RegExp) =>
  until('the mail arrives', () =>
    smtp.mails.find(({ to, headers }) => to.includes(user.email) && subject.test(headers.get('subject') ?? '')),
  );

t.test('an account is deleted by a session that was just opened or proved, and by nothing else', async (t) => {
  const user = await registerUser(server);
  await age(user);
  const refused = await deleteMe(user);
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'PROOF_REQUIRED', error: /reauthenticate/ });
  const refreshed = await server.app.inject({
    method: 'POST',
    url: '/api/auth/refresh',
    payload: { refresh_token: user.refreshToken },
  });
  const { token } = refreshed.json<{ token: string }>();
  t.equal((await sendWith(server, token, 'DELETE', '/api/users/me')).statusCode, 403, 'a refresh proves nobody');
  const key = await createApiKey(user);
  t.equal((await sendWith(server, key, 'DELETE', '/api/users/me')).statusCode, 403, 'and so does a key');
  const proof = await sendWith(server, key, 'POST', '/api/auth/reauthenticate', { password: user.password });
  t.match(proof.json(), { code: 'NO_SESSION' }, 'which cannot be proved');
  t.equal((await prove(user, { password: user.password })).statusCode, 200);
  t.strictSame((await deleteMe(user)).json(), { deleted: true });
  await server.verifyLedger(t);
});

t.test('a wrong password proves nothing, and ten are all an account has', async (t) => {
  const user = await registerUser(server);
  await age(user);
  for (let n = 0; n < 10; n += 1) {
    const refused = await prove(user, { password: 'wrong' });
    t.equal(refused.statusCode, 401);
    t.match(refused.json(), { code: 'INVALID_CREDENTIALS' });
  }
  t.equal((await prove(user, { password: user.password })).statusCode, 429);
  t.equal((await deleteMe(user)).statusCode, 403);
});

t.test('a mailed code proves the session it was asked for, once, within 5 minutes', async (t) => {
  const user = await registerUser(server);
  await sql('delete from private.user_credentials where user_id = $1', [user.id]);
  await age(user);
  const asked = await user.as('POST', '/api/auth/reauthenticate/code');
  t.equal(asked.statusCode, 202);
  const { text } = await mailTo(user, /code/);
  const [, code = ''] = /^(\d{4} \d{4})$/m.exec(text) ?? [];
  t.equal((await prove(user, { code: '0000 0000' })).statusCode, 401);
  t.equal((await prove(user, { password: 'none' })).statusCode, 401, 'there is no password');
  t.equal((await prove(user, { code })).statusCode, 200);
  t.equal((await prove(user, { code })).statusCode, 401, 'it is used up');
  const kept = await sql<{ row: string }>('select c::text as row from private.proof_codes c');
  t.strictSame(kept, []);
  t.equal((await user.as('POST', '/api/users/me/password', { new_password: NEW_PASSWORD })).statusCode, 200);
});

t.test('a code ends after 5 minutes, and is good for no other session', async (t) => {
  const user = await registerUser(server);
  const payload = { email: user.email, password: user.password };
  const login = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload });
  await age(user);
  await user.as('POST', '/api/auth/reauthenticate/code');
  const { text } = await mailTo(user, /code/);
  const [, code = ''] = /^(\d{4} \d{4})$/m.exec(text) ?? [];
  const other = await sendWith(server, login.json().token, 'POST', '/api/auth/reauthenticate', { code });
  t.equal(other.statusCode, 401);
  await sql('update private.proof_codes set expires_at = now()');
  t.equal((await prove(user, { code })).statusCode, 401);
  for (let n = 0; n < 2; n += 1) await user.as('POST', '/api/auth/reauthenticate/code');
  t.equal((await user.as('POST', '/api/auth/reauthenticate/code')).statusCode, 429, 'three are mailed in 15 minutes');
});

t.test('a first password is set only after a fresh proof', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  await sql('delete from private.user_credentials where user_id = $1', [user.id]);
  const first = { new_password: NEW_PASSWORD };
  t.match((await sendWith(server, key, 'POST', '/api/users/me/password', first)).json(), { code: 'PROOF_REQUIRED' });
  await age(user);
  t.match((await user.as('POST', '/api/users/me/password', first)).json(), { code: 'PROOF_REQUIRED' });
  t.strictSame(await sql('select 1 from private.user_credentials where user_id = $1', [user.id]), []);
});

t.test('a person is told of a new password, a reset, a key and the deletion', async (t) => {
  const user = await registerUser(server);
  const change = { current_password: user.password, new_password: NEW_PASSWORD };
  t.equal((await user.as('POST', '/api/users/me/password', change)).statusCode, 200);
  t.match((await mailTo(user, /password was set/)).text, /If it was not you/);
  await createApiKey(user, `Buy now at ${randomUUID()}.example`);
  t.notMatch((await mailTo(user, /API key/)).text, 'Buy now', 'in our words only');
  t.equal((await deleteMe(user)).statusCode, 200);
  await mailTo(user, /deleted/);
  const reset = await registerUser(server);
  await resetPassword(server.app, await mailedToken(server.app, smtp, reset.email));
  await mailTo(reset, /password was set/);
});

t.test('a sign-in from a network that was not seen before is told, one from home is not', async (t) => {
  const user = await registerUser(server);
  const payload = { email: user.email, password: user.password };
  const logIn = (address: string) =>
    server.app.inject({ method: 'POST', url: '/api/auth/login', payload, headers: { 'x-forwarded-for': address } });
  const told = () =>
    smtp.mails.filter(({ to, text }) => to.includes(user.email) && text.includes('The request came from')).length;
  t.equal((await logIn('127.0.0.1')).statusCode, 200);
  t.equal((await logIn('192.0.2.7')).statusCode, 200);
  const { text } = await mailTo(user, /new network/);
  t.match(text, '192.0.2.7');
  t.equal((await logIn('192.0.2.7')).statusCode, 200);
  t.equal((await logIn('127.0.0.1')).statusCode, 200);
  await createApiKey(user);
  await mailTo(user, /API key/);
  t.equal(told(), 1);
});

t.end();
