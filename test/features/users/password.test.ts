import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const { database } = server;
const URL = '/api/users/me/password';
const NEW_PASSWORD = 'another long password';

function logIn(email: string, password: string) {
  return server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
}

/** Logs in once more; returns the tokens of that session. */
async function secondSession(user: TestUser) {
  return (await logIn(user.email, user.password)).json<{ token: string; refresh_token: string }>();
}

const readStatus = async (token: string) => (await sendWith(server, token, 'GET', '/api/users/me')).statusCode;

function refresh(refresh_token: string) {
  return server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token } });
}

t.test('a changed password opens the account, the old one does not; only the calling session goes on', async (t) => {
  const ada = await registerUser(server);
  const other = await secondSession(ada);
  const key = await createApiKey(ada);
  const change = { current_password: ada.password, new_password: NEW_PASSWORD };
  const response = await ada.as('POST', URL, change);
  t.equal(response.statusCode, 200);
  t.match(response.json(), { message: /\S/ });

  t.equal((await logIn(ada.email, ada.password)).statusCode, 401);
  t.equal((await logIn(ada.email, NEW_PASSWORD)).statusCode, 200);
  t.equal(await readStatus(ada.token), 200, 'the calling session goes on');
  t.equal((await refresh(ada.refreshToken)).statusCode, 200, 'and can be refreshed');
  t.equal(await readStatus(other.token), 401, 'the other one has ended');
  t.equal((await refresh(other.refresh_token)).statusCode, 401);
  t.equal(await readStatus(key), 200, 'a key is no session');
});

t.test('a link mailed before the change sets no password after it', async (t) => {
  const ada = await registerUser(server);
  const token = 'a-link-mailed-before-the-change-was-made-00';
  await database.sql(
    `insert into private.password_resets (email, user_id, token_hash, expires_at)
     values ($2, $1, sha256(convert_to($3, 'UTF8')), now() + interval '30 minutes')`,
    [ada.id, ada.email, token],
  );
  await ada.as('POST', URL, { current_password: ada.password, new_password: NEW_PASSWORD });
  const payload = { token, new_password: 'the password of a stranger' };
  const reset = await server.app.inject({ method: 'POST', url: '/api/auth/reset-password', payload });
  t.match(reset.json(), { code: 'INVALID_RESET_TOKEN' });
  t.equal((await logIn(ada.email, NEW_PASSWORD)).statusCode, 200);
});

t.test('changed with an API key, every session ends', async (t) => {
  const ada = await registerUser(server);
  const key = await createApiKey(ada);
  const change = { current_password: ada.password, new_password: NEW_PASSWORD };
  t.equal((await sendWith(server, key, 'POST', URL, change)).statusCode, 200);
  t.equal(await readStatus(ada.token), 401);
  t.equal(await readStatus(key), 200);
  t.equal((await logIn(ada.email, NEW_PASSWORD)).statusCode, 200);
});

t.test('without the right current password nothing changes', async (t) => {
  const ada = await registerUser(server);
  const other = await secondSession(ada);
  for (const current_password of [undefined, 'wrong', NEW_PASSWORD, `${ada.password} `]) {
    const response = await ada.as('POST', URL, {
      ...(current_password && { current_password }),
      new_password: NEW_PASSWORD,
    });
    t.equal(response.statusCode, 401);
    t.match(response.json(), { code: 'INVALID_CREDENTIALS', error: /current/ });
  }
  t.equal(await readStatus(other.token), 200);
  t.equal((await logIn(ada.email, ada.password)).statusCode, 200);
});

t.test('a common password is refused and the old one stays', async (t) => {
  const ada = await registerUser(server);
  const response = await ada.as('POST', URL, { current_password: ada.password, new_password: 'Password123' });
  t.equal(response.statusCode, 400);
  t.match(response.json(), { code: 'PASSWORD_TOO_COMMON' });
  t.equal((await logIn(ada.email, ada.password)).statusCode, 200);
});

t.test('an account without a password sets its first one, and needs it from then on', async (t) => {
  const ada = await registerUser(server);
  await database.sql('delete from private.user_credentials where user_id = $1', [ada.id]);
  t.equal((await ada.as('POST', URL, { new_password: NEW_PASSWORD })).statusCode, 200);
  t.equal((await logIn(ada.email, NEW_PASSWORD)).statusCode, 200);
  t.equal((await ada.as('POST', URL, { new_password: 'yet another password' })).statusCode, 401);
});

t.test('ten attempts in a quarter of an hour are all an account has, from wherever; others have theirs', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const key = await createApiKey(ada);
  const wrong = { current_password: 'wrong', new_password: NEW_PASSWORD };
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    const token = attempt % 2 === 0 ? key : ada.token;
    t.equal((await sendWith(server, token, 'POST', URL, wrong)).statusCode, 401);
  }
  const right = { current_password: ada.password, new_password: NEW_PASSWORD };
  for (const token of [ada.token, key]) {
    const refused = await sendWith(server, token, 'POST', URL, right);
    t.equal(refused.statusCode, 429, 'even with the right password');
    const { retry_after } = refused.json<{ retry_after: number }>();
    t.ok(retry_after > 0 && retry_after <= 900, 'it says when to come back');
  }
  t.equal((await bob.as('POST', URL, { ...right, current_password: bob.password })).statusCode, 200);

  await database.sql(`update private.login_attempts set window_ends_at = now() where scope = 'user:password'`);
  t.equal((await ada.as('POST', URL, right)).statusCode, 200);
  const [counter] = await database.sql(
    `select from private.login_attempts where scope = 'user:password' and key = $1`,
    [ada.id],
  );
  t.equal(counter, undefined, 'a success forgets the attempts');
});

t.test('of changes at once one wins, and only its session goes on', async (t) => {
  for (const hasPassword of [true, false]) {
    const ada = await registerUser(server);
    const tokens = [
      ada.token,
      ...(await Promise.all(Array.from({ length: 5 }, () => secondSession(ada)))).map((s) => s.token),
    ];
    if (!hasPassword) await database.sql('delete from private.user_credentials where user_id = $1', [ada.id]);
    const answers = await meetAtLock(database, accountLock(ada.id, 3), () =>
      Promise.all(
        tokens.map((token, n) => {
          const change = {
            ...(hasPassword && { current_password: ada.password }),
            new_password: `${NEW_PASSWORD} ${n}`,
          };
          return sendWith(server, token, 'POST', URL, change);
        }),
      ),
    );
    const statuses = answers.map(({ statusCode }) => statusCode);
    t.equal(statuses.filter((status) => status === 200).length, 1, statuses.join());
    t.equal(statuses.filter((status) => status === 401).length, 5);
    const winner = statuses.indexOf(200);
    for (const [n, token] of tokens.entries()) {
      t.equal((await logIn(ada.email, `${NEW_PASSWORD} ${n}`)).statusCode, n === winner ? 200 : 401);
      t.equal(await readStatus(token), n === winner ? 200 : 401);
    }
    await database.sql(`delete from private.login_attempts`);
  }
});

t.test('of changes at once by one session, or with one key, one wins too', async (t) => {
  for (const hasPassword of [true, false]) {
    const ada = await registerUser(server);
    const key = await createApiKey(ada);
    // A first password is nothing an API key may set.
    for (const token of hasPassword ? [ada.token, key] : [ada.token]) {
      await database.sql('delete from private.user_credentials where user_id = $1', [ada.id]);
      if (hasPassword) await ada.as('POST', URL, { new_password: ada.password });
      const change = { ...(hasPassword && { current_password: ada.password }), new_password: NEW_PASSWORD };
      const answers = await meetAtLock(database, accountLock(ada.id, 3), () =>
        Promise.all(Array.from({ length: 5 }, () => sendWith(server, token, 'POST', URL, change))),
      );
      const statuses = answers.map(({ statusCode }) => statusCode);
      t.strictSame(statuses.sort(), [200, 401, 401, 401, 401]);
    }
  }
});

t.test('a log-in with the old password that overlaps the change leaves no session behind', async (t) => {
  const ada = await registerUser(server);
  const change = { current_password: ada.password, new_password: NEW_PASSWORD };
  const [changed, ...logins] = await Promise.all([
    ada.as('POST', URL, change),
    ...Array.from({ length: 4 }, () => logIn(ada.email, ada.password)),
  ]);
  t.equal(changed.statusCode, 200);
  for (const login of logins) {
    if (login.statusCode !== 200) t.equal(login.statusCode, 401);
    else t.equal(await readStatus(login.json<{ token: string }>().token), 401, 'it ended with the change');
  }
});

t.test('no password and no hash is in an answer or in the clear in the database', async (t) => {
  const ada = await registerUser(server, { password: 'canary-of-the-old-one' });
  const answers = [
    await ada.as('POST', URL, { current_password: 'canary-that-is-wrong', new_password: 'canary-of-the-new-one' }),
    await ada.as('POST', URL, { current_password: 'canary-of-the-old-one', new_password: 'canary-of-the-new-one' }),
    await ada.as('POST', URL, { current_password: 'canary-of-the-new-one', new_password: 'canary' }),
    await ada.as('GET', '/api/users/me'),
  ];
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [401, 200, 400, 200],
  );
  for (const { payload } of answers) t.notMatch(payload, /canary|argon2/);
  const tables = await database.sql<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'private')`,
  );
  for (const { name } of tables) {
    const rows = await database.sql(`select from ${name} r where r::text like '%canary%'`);
    t.equal(rows.length, 0, name);
  }
});

t.end();
