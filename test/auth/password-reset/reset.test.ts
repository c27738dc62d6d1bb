import { createHash } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { askForLink, mailEnvironment, mailedToken, NEW_PASSWORD, resetPassword } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: mailEnvironment(smtp) });
const { app, database } = server;

const tokenFor = ({ email }: Pick<TestUser, 'email'>) => mailedToken(app, smtp, email);
const prove = ({ id }: TestUser) => database.sql('update users set email_verified_at = now() where id = $1', [id]);

async function logInStatus(email: string, password: string): Promise<number> {
  const answer = await app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
  return answer.statusCode;
}

t.test('the mailed token sets a new password, once, and ends every session', async (t) => {
  const user = await registerUser(server);
  await prove(user);
  t.equal(await logInStatus(user.email, user.password), 200);
  const token = await tokenFor(user);
  const answer = await resetPassword(app, token);
  t.equal(answer.statusCode, 200);
  t.match(answer.json(), { message: /\S/ });
  t.equal((await user.as('GET', '/api/auth/sessions')).statusCode, 401, 'the access token is dead at once');
  const payload = { refresh_token: user.refreshToken };
  const refreshed = await app.inject({ method: 'POST', url: '/api/auth/refresh', payload });
  t.equal(refreshed.statusCode, 401, 'and so is the refresh token');
  t.equal(await logInStatus(user.email, user.password), 401);
  t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);

  const again = await resetPassword(app, token, 'something else entirely');
  t.equal(again.statusCode, 400);
  t.match(again.json(), { code: 'INVALID_RESET_TOKEN', error: /\S/ });
  t.equal(await logInStatus(user.email, NEW_PASSWORD), 200, 'the second use changed nothing');
});

t.test('the new password may be called password, as in other APIs', async (t) => {
  const user = await registerUser(server);
  const reset = async (payload: object) => app.inject({ method: 'POST', url: '/api/auth/reset-password', payload });
  const token = await tokenFor(user);
  t.match((await reset({ token })).json(), { code: 'VALIDATION_FAILED', error: 'Enter the new password' });
  t.equal((await reset({ token, password: NEW_PASSWORD, new_password: null, confirm: true })).statusCode, 200);
  t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
});

t.test('50 requests with one token at the same moment: one sets its password, 49 are refused', async (t) => {
  const user = await registerUser(server);
  const token = await tokenFor(user);
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      app.inject({
        method: 'POST',
        url: `${PREFIXES[n % 2]}/auth/reset-password`,
        payload: { token, new_password: `${NEW_PASSWORD} ${n}` },
      }),
    ),
  );
  const winners = answers.flatMap(({ statusCode }, n) => (statusCode === 200 ? [n] : []));
  t.equal(winners.length, 1);
  const refused = answers.filter((answer) => answer.statusCode === 400);
  t.equal(refused.length, 49);
  t.ok(refused.every((answer) => answer.json<{ code: string }>().code === 'INVALID_RESET_TOKEN'));
  t.equal(await logInStatus(user.email, `${NEW_PASSWORD} ${winners[0]}`), 200);
});

t.test('only the newest link works', async (t) => {
  const user = await registerUser(server);
  const [older, newer] = [await tokenFor(user), await tokenFor(user)];
  t.equal((await resetPassword(app, older)).statusCode, 400);
  t.equal((await resetPassword(app, newer)).statusCode, 200);
});

t.test('a link ends after 30 minutes', async (t) => {
  const user = await registerUser(server);
  const token = await tokenFor(user);
  const [row] = await database.sql<{ seconds: number }>(
    `select extract(epoch from expires_at - requested_at)::int as seconds from private.password_resets where email = $1`,
    [user.email],
  );
  t.equal(row?.seconds, 1800);
  await database.sql('update private.password_resets set expires_at = now() where email = $1', [user.email]);
  t.match((await resetPassword(app, token)).json(), { code: 'INVALID_RESET_TOKEN' });
  t.equal(await logInStatus(user.email, user.password), 200, 'the password is the old one');
});

t.test('a password that is too common or too short does not use the token up', async (t) => {
  const user = await registerUser(server);
  const token = await tokenFor(user);
  t.match((await resetPassword(app, token, 'password123')).json(), { code: 'PASSWORD_TOO_COMMON' });
  t.match((await resetPassword(app, token, 'short')).json(), { code: 'VALIDATION_FAILED' });
  t.equal((await resetPassword(app, token)).statusCode, 200);
});

t.test('an account without a password gets one', async (t) => {
  const user = await registerUser(server);
  await prove(user);
  await database.sql('delete from private.user_credentials where user_id = $1', [user.id]);
  t.equal((await resetPassword(app, await tokenFor(user))).statusCode, 200);
  t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
});

t.test(
  'the owner of an address that a stranger registered gets the account without what the stranger left',
  async (t) => {
    const stranger = await registerUser(server);
    const key = await createApiKey(stranger);
    const device = await server.registerDevice();
    await database.sql('update devices set user_id = $1 where id = $2', [stranger.id, device.id]);
    await database.sql(
      `insert into private.external_identities (provider, subject, user_id, email) values ('google', 'stranger', $1, $2)`,
      [stranger.id, stranger.email],
    );
    t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 200, 'the key works');

    t.equal((await resetPassword(app, await tokenFor(stranger))).statusCode, 200);
    t.equal((await stranger.as('GET', '/api/auth/sessions')).statusCode, 401);
    t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 401);
    t.equal(await logInStatus(stranger.email, stranger.password), 401);
    t.equal(await logInStatus(stranger.email, NEW_PASSWORD), 200, "the owner's password is not removed with the rest");
    const left = await database.sql(
      `select provider from private.external_identities where user_id = $1
      union all select id::text from devices where user_id = $1`,
      [stranger.id],
    );
    t.strictSame(left, []);
    t.match(await database.sql('select email_verified_at from users where id = $1', [stranger.id]), [
      { email_verified_at: Date },
    ]);
  },
);

t.test('who has proved the address keeps API keys', async (t) => {
  const user = await registerUser(server);
  await prove(user);
  const key = await createApiKey(user);
  t.equal((await resetPassword(app, await tokenFor(user))).statusCode, 200);
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 200);
});

t.test('log-ins with the old password that are under way end with the reset', async (t) => {
  const user = await registerUser(server);
  await prove(user);
  const token = await tokenFor(user);
  const logIn = () =>
    app.inject({
      method: 'POST',
      url: '/api/auth/login',
      payload: { email: user.email, password: user.password },
    });
  const [reset, ...logIns] = await Promise.all([resetPassword(app, token), ...Array.from({ length: 8 }, logIn)]);
  t.equal(reset.statusCode, 200);
  const opened = logIns.filter(({ statusCode }) => statusCode === 200);
  for (const answer of opened) {
    const { token: access } = answer.json<{ token: string }>();
    t.equal((await sendWith(server, access, 'GET', '/api/auth/sessions')).statusCode, 401);
  }
  t.ok(logIns.every(({ statusCode }) => statusCode === 200 || statusCode === 401));
});

t.test('a token ends with the account, and a link nobody was mailed opens no later account', async (t) => {
  const user = await registerUser(server);
  const token = await tokenFor(user);
  await database.sql('delete from users where id = $1', [user.id]);
  t.match((await resetPassword(app, token)).json(), { code: 'INVALID_RESET_TOKEN' });
  t.strictSame(await database.sql('select from private.password_resets where email = $1', [user.email]), []);

  await askForLink(app, 'later@example.com');
  const later = await registerUser(server, { email: 'later@example.com' });
  const hash = createHash('sha256').update('guessed').digest('hex');
  await database.sql(`update private.password_resets set token_hash = decode($1, 'hex') where email = $2`, [
    hash,
    later.email,
  ]);
  t.match((await resetPassword(app, 'guessed')).json(), { code: 'INVALID_RESET_TOKEN' });
  t.equal(await logInStatus(later.email, later.password), 200);
});

t.test('maintenance removes links that have ended, and no others', async (t) => {
  const [ended, current] = [await registerUser(server), await registerUser(server)];
  await tokenFor(ended);
  const token = await tokenFor(current);
  await database.sql('update private.password_resets set expires_at = now() where email = $1', [ended.email]);
  const [before] = await database.sql<{ ended: number }>(
    'select count(*)::int as ended from private.password_resets where expires_at <= now()',
  );
  const [pruned] = await database.sql<{ n: number }>('select private.prune_password_resets() as n');
  t.equal(pruned?.n, before?.ended);
  t.ok(pruned && pruned.n >= 1);
  t.strictSame(await database.sql('select from private.password_resets where email = $1', [ended.email]), []);
  t.equal((await resetPassword(app, token)).statusCode, 200);
});

t.end();
