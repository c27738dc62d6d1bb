import { Value } from '@sinclair/typebox/value';
import { SessionAnswerSchema } from '../../../src/auth/sessions/schemas.js';
import { registerUser, sendWith } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const PASSWORD = 'correct horse battery staple';

function register(payload: object, url = '/api/auth/register') {
  return server.app.inject({ method: 'POST', url, payload });
}

t.test("contract 1's extension registers, logs in and is told apart by its address", async (t) => {
  const base = await server.listen();
  const call = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: response.status, body: Value.Decode(SessionAnswerSchema, await response.json()) };
  };
  const account = { email: 'User@Example.com', password: PASSWORD };
  for (const prefix of ['', '/api']) {
    const email = `${prefix.slice(1)}${account.email}`;
    const registered = await call(`${prefix}/auth/register`, { ...account, email });
    t.equal(registered.status, 201);
    t.match(registered.body, {
      token: /^[\w-]+\.[\w-]+\.[\w-]+$/,
      refresh_token: /^[\w-]{43}$/,
      expires_in: 604_800,
      user: { email: email.toLowerCase(), total_tokens: 1_000_000, tokens_used: 0, tokens_left: 1_000_000 },
    });
    const loggedIn = await call(`${prefix}/auth/login`, { ...account, email });
    t.equal(loggedIn.status, 200);
    t.strictSame(loggedIn.body.user, registered.body.user);
    t.not(loggedIn.body.refresh_token, registered.body.refresh_token);
  }
  await server.verifyLedger(t);
});

t.test('an address is taken in whatever case and with whatever blanks it is written', async (t) => {
  t.equal((await register({ email: 'taken@example.com', password: PASSWORD })).statusCode, 201);
  for (const email of ['taken@example.com', 'TAKEN@EXAMPLE.COM', '  Taken@example.com\n']) {
    const response = await register({ email, password: PASSWORD });
    t.equal(response.statusCode, 409);
    t.match(response.json(), { error: 'Email already exists', message: 'Email already exists', code: 'EMAIL_TAKEN' });
  }
  await server.verifyLedger(t);
});

t.test(
  'addresses of any script are kept as composed lower case, and the same address is the same account',
  async (t) => {
    const addresses = [
      'Zoë@example.com',
      'ЮЛИЯ@пример.рф',
      'ΟΔΥΣΣΕΥΣ@example.com',
      'İpek@example.com',
      '用户@例子.广告',
      'ẞ@example.com',
    ];
    for (const email of addresses) {
      const registered = await register({ email: email.normalize('NFD'), password: PASSWORD });
      t.equal(registered.statusCode, 201, email);
      const kept = email.normalize('NFC').toLowerCase();
      t.equal(registered.json<{ user: { email: string } }>().user.email, kept);
      t.equal((await register({ email: kept, password: PASSWORD })).statusCode, 409);
      const login = await server.app.inject({
        url: '/api/auth/login',
        method: 'POST',
        payload: { email, password: PASSWORD },
      });
      t.equal(login.statusCode, 200);
    }
    await server.verifyLedger(t);
  },
);

t.test('every letter JavaScript can lower is kept as Postgres wants it', async (t) => {
  const letters = Array.from({ length: 0x1_0000 }, (_, code) => String.fromCodePoint(code)).filter(
    (letter) => letter.isWellFormed() && letter.toLowerCase() !== letter,
  );
  const text = letters.join('').normalize('NFC').toLowerCase();
  t.ok(letters.length > 1_000);
  // Databases differ in the rules they lower by: none at all, the C library's, ICU's.
  for (const collation of ['C', 'default', 'und-x-icu']) {
    const query = `select lower($1 collate "${collation}") = $1 as same`;
    const [row] = await server.database.sql<{ same: boolean }>(query, [text]);
    t.equal(row?.same, true, collation);
  }
});

t.test('what is no address, or holds what nobody sees, is refused', async (t) => {
  const bad = [
    '',
    'a',
    'a@',
    '@b',
    'a b@c',
    'a@b@c',
    `a@${'b'.repeat(320)}`,
    'a\u200b@b.c',
    'a@b\u0007.c',
    'a\u202e@b.c',
  ];
  for (const email of [...bad, `${'İ'.repeat(310)}@example.com`, null, 1, {}, []]) {
    t.equal((await register({ email, password: PASSWORD })).statusCode, 400, JSON.stringify(email));
  }
});

t.test('passwords have 8 to 256 characters, none is cut, and common ones are refused', async (t) => {
  for (const password of ['', 'seven77', 'x'.repeat(257)]) {
    t.match((await register({ email: 'p@example.com', password })).json(), { code: 'VALIDATION_FAILED' });
  }
  for (const password of ['password', 'Password1', '1234567890', 'QWERTYUIOP']) {
    const response = await register({ email: 'p@example.com', password });
    t.equal(response.statusCode, 400);
    t.match(response.json(), { code: 'PASSWORD_TOO_COMMON' });
  }
  const long = 'ä'.repeat(256);
  await registerUser(server, { email: 'long@example.com', password: long });
  for (const [password, status] of [
    [long, 200],
    [long.slice(1), 401],
  ] as const) {
    const response = await server.app.inject({
      method: 'POST',
      url: '/api/auth/login',
      payload: { email: 'long@example.com', password },
    });
    t.equal(response.statusCode, status);
  }
});

t.test('of 20 registrations of one address at once, one makes the account and one balance', async (t) => {
  const responses = await meetAtLock(server.database, insertionLock('users', 3), () =>
    Promise.all(Array.from({ length: 20 }, () => register({ email: 'race@example.com', password: PASSWORD }))),
  );
  t.equal(responses.filter(({ statusCode }) => statusCode === 201).length, 1);
  t.equal(responses.filter(({ statusCode }) => statusCode === 409).length, 19);
  await server.verifyLedger(t);
});

t.test('only the hash of a password is kept', async (t) => {
  const user = await registerUser(server, { password: PASSWORD });
  const [row] = await server.database.sql<{ password_hash: string }>(
    'select password_hash from private.user_credentials where user_id = $1',
    [user.id],
  );
  t.match(row?.password_hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
});

t.test('an address that registers too often is told to wait', async (t) => {
  const limited = await openTestServer(t, { database: server.database, environment: { RATE_LIMIT: 'on' } });
  const statuses: number[] = [];
  for (let n = 0; n <= 60; n += 1) {
    const response = await limited.app.inject({ method: 'POST', url: '/api/auth/register', payload: {} });
    statuses.push(response.statusCode);
  }
  t.strictSame(new Set(statuses.slice(0, 60)), new Set([400]));
  t.equal(statuses.at(-1), 429);
  t.equal(
    (await sendWith(limited, undefined, 'POST', '/auth/register', {})).statusCode,
    429,
    'both prefixes count as one',
  );
});

t.end();
