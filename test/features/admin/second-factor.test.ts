import { AnyResult } from '../../../src/platform/database/client/database.js';
import { logInAsAdmin, PASSWORD } from '../../helpers/admin.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { enrolAdmin, showCode } from '../../helpers/totp.js';

const server = await openTestServer(t);
const { sql } = server.database;

const logIn = (username: string, totp?: string, password = PASSWORD, app = server.app) =>
  app.inject({
    method: 'POST',
    url: '/api/admin/login',
    payload: { username, password, ...(totp !== undefined && { totp }) },
  });

t.test('an admin enrols with an otpauth address, confirms with a code, and needs one from then on', async (t) => {
  const admin = await logInAsAdmin(server, 'ada');
  const wrong = await admin.as('POST', '/api/admin/second-factor', { current_password: 'wrong password' });
  t.match(wrong.json(), { code: 'INVALID_CREDENTIALS' }, 'a stolen token alone enrols nobody');
  const begun = await admin.as('POST', '/api/admin/second-factor', { current_password: PASSWORD });
  t.equal(begun.statusCode, 201);
  const { secret, uri } = begun.json<{ secret: string; uri: string }>();
  t.match(uri, /^otpauth:\/\/totp\/Tokenledger:ada\?/);
  t.match(uri, `secret=${secret}`);
  t.equal((await logIn('ada')).statusCode, 200, 'what is not confirmed asks nobody for a code');

  t.match((await admin.as('POST', '/api/admin/second-factor/confirm', { totp: '000000' })).json(), {
    code: 'INVALID_SECOND_FACTOR',
  });
  const confirmed = await admin.as('POST', '/api/admin/second-factor/confirm', { totp: showCode(secret, -1) });
  t.equal(confirmed.statusCode, 200);
  const { token, recovery_codes } = confirmed.json<{ token: string; recovery_codes: string[] }>();
  t.equal(new Set(recovery_codes).size, 10);
  t.equal((await admin.as('GET', '/api/admin/budget')).statusCode, 401, 'sessions of the password alone have ended');
  const headers = { authorization: `Bearer ${token}` };
  t.equal((await server.app.inject({ url: '/api/admin/budget', headers })).statusCode, 200);

  t.match((await logIn('ada')).json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.match((await logIn('ada', showCode(secret), 'wrong password')).json(), { code: 'INVALID_CREDENTIALS' });
  t.equal((await logIn('ada', showCode(secret))).statusCode, 200);
  const rows = await sql<{ row: string }>('select c::text as row from private.admin_recovery_codes c');
  t.notOk(
    rows.some(({ row }) => recovery_codes.some((code) => row.includes(code))),
    'only digests are kept',
  );
  const again = await server.app.inject({
    method: 'POST',
    url: '/api/admin/second-factor',
    headers,
    payload: { current_password: PASSWORD },
  });
  t.match(again.json(), { code: 'SECOND_FACTOR_EXISTS' });
});

t.test('a code is good once, nor is one from before it; of two at once one gets in', async (t) => {
  const { secret } = await enrolAdmin(server, 'bob');
  t.match((await logIn('bob', showCode(secret, -1))).json(), { code: 'INVALID_SECOND_FACTOR' }, 'used to enrol');
  const factorLock = { statement: 'select from private.admin_second_factors for update', waiting: 2 };
  const both = await meetAtLock(server.database, factorLock, () =>
    Promise.all([logIn('bob', showCode(secret)), logIn('bob', showCode(secret))]),
  );
  t.strictSame(both.map(({ statusCode }) => statusCode).sort(), [200, 401]);
  t.match((await logIn('bob', showCode(secret))).json(), { code: 'INVALID_SECOND_FACTOR' });
  for (const totp of ['abcdef', '12345', showCode(secret, 5), showCode(secret, -5)]) {
    t.equal((await logIn('bob', totp)).statusCode, totp.length < 6 ? 400 : 401);
  }
});

t.test('a recovery code stands in for the app once, however it is typed', async (t) => {
  const { recoveryCodes } = await enrolAdmin(server, 'cleo');
  const [code = '', next = ''] = recoveryCodes;
  t.equal((await logIn('cleo', code.toUpperCase().replaceAll('-', ' '))).statusCode, 200);
  t.equal((await logIn('cleo', code)).statusCode, 401);
  t.equal((await logIn('cleo', next)).statusCode, 200);
});

t.test('codes cannot be guessed: after ten the account waits, also for a right one', async (t) => {
  const { secret } = await enrolAdmin(server, 'dora');
  // From known and unknown networks alike: the limit is the factor's own.
  const guess = (n: number, totp: string) =>
    server.app.inject({
      method: 'POST',
      url: '/api/admin/login',
      payload: { username: 'dora', password: PASSWORD, totp },
      remoteAddress: `10.1.${n}.1`,
    });
  await sql('delete from private.login_attempts');
  for (let n = 1; n <= 10; n += 1) t.equal((await guess(n, '000000')).statusCode, 401);
  await sql(`delete from private.login_attempts where scope <> 'admin:second_factor'`);
  t.match((await guess(11, showCode(secret))).json(), { code: 'RATE_LIMITED', retry_after: Number });
});

t.test('it is turned off with the password and one more code, and by the operator when it was lost', async (t) => {
  const admin = await enrolAdmin(server, 'emil');
  const remove = (current_password: string, totp: string) =>
    admin.as('POST', '/api/admin/second-factor/remove', { current_password, totp });
  t.match((await remove('wrong password', showCode(admin.secret))).json(), { code: 'INVALID_CREDENTIALS' });
  t.match((await remove(PASSWORD, '000000')).json(), { code: 'INVALID_SECOND_FACTOR' });
  t.strictSame((await remove(PASSWORD, showCode(admin.secret))).json(), { removed: true });
  t.equal((await logIn('emil')).statusCode, 200);

  await enrolAdmin(server, 'fay');
  const reset = { p_command: 'reset-2fa', p_username: 'fay' };
  t.match(await server.backend.database.call('manage_admin', reset, AnyResult), { changed: true });
  t.equal((await logIn('fay')).statusCode, 200);
});

t.test('where the server asks for one, an admin without can only set it up or leave', async (t) => {
  const strict = await openTestServer(t, { environment: { ADMIN_2FA: 'required' } });
  const admin = await logInAsAdmin(strict, 'gil');
  t.match((await logIn('gil', undefined, PASSWORD, strict.app)).json(), { second_factor_missing: true });
  for (const url of ['/api/admin/budget', '/api/admin/admins', '/api/admin/users']) {
    t.match((await admin.as('GET', url)).json(), { code: 'SECOND_FACTOR_MISSING' }, url);
  }
  t.equal((await admin.as('PUT', '/api/admin/budget', { total: 1 })).statusCode, 403);
  // In SQL as well, whatever the token says.
  const [row] = await strict.database.sql<{ id: string; version: number; session_id: string }>(
    `select a.id, a.version, s.id as session_id from private.admins a join private.admin_sessions s on s.admin_id = a.id`,
  );
  const p_actor = { ...row, second_factor_required: true, request_id: 'x', address: '127.0.0.1' };
  const call = strict.backend.database.call('get_budget', { p_actor, p_kind: 'user' }, AnyResult);
  await t.rejects(call, { message: 'SECOND_FACTOR_MISSING' });

  const enrolled = await enrolAdmin(strict, 'hal');
  t.equal((await enrolled.as('GET', '/api/admin/budget')).statusCode, 200);
  t.equal((await admin.as('POST', '/api/admin/logout')).statusCode, 200);
});

t.test(
  'an owner’s stolen token removes neither their second factor nor their password by the way for others',
  async (t) => {
    const owner = await logInAsAdmin(server, 'owen');
    const [row] = await sql<{ id: string }>(`select id from private.admins where username = 'owen'`);
    for (const payload of [{ reset_second_factor: true }, { password: 'a password of the thief' }]) {
      const refused = await owner.as('PATCH', `/api/admin/admins/${row?.id}`, payload);
      t.equal(refused.statusCode, 409);
      t.match(refused.json(), { code: 'OWN_CREDENTIALS' });
    }
    t.equal((await logIn('owen')).statusCode, 200);
  },
);

t.end();
