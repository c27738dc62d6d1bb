import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, NEW_PASSWORD } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { enrolUser, forgetUsedCodes, showCode } from '../../helpers/totp.js';
import { until } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const server = await openTestServer(t, { environment: mailEnvironment(smtp) });
const { sql } = server.database;

const FACTOR = '/api/users/me/second-factor';
const logIn = ({ email, password }: TestUser, totp?: string) =>
  server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password, ...(totp && { totp }) } });
/** Lets a person's sessions be as old as those that thieves find. */
const age = ({ id }: TestUser) =>
  sql(`update private.sessions set proved_at = now() - interval '5 minutes' where user_id = $1`, [id]);
const mailTo = (user: TestUser, subject: RegExp) =>
  until('the mail arrives', () =>
    smtp.mails.find(({ to, headers }) => to.includes(user.email) && subject.test(headers.get('subject') ?? '')),
  );

t.test('a person enrols with an otpauth address, confirms with a code, and needs one from then on', async (t) => {
  const user = await registerUser(server);
  const other = (await logIn(user)).json<{ token: string }>();
  t.strictSame((await user.as('GET', FACTOR)).json(), { enabled: false, enabled_at: null, recovery_codes_left: 0 });
  const begun = await user.as('POST', FACTOR);
  t.equal(begun.statusCode, 201);
  const { secret, uri } = begun.json<{ secret: string; uri: string }>();
  t.match(secret, /^[A-Z2-7]{32}$/, '160 bits in base32');
  t.match(uri, `otpauth://totp/Tokenledger:${encodeURIComponent(user.email)}?`);
  t.match(uri, `secret=${secret}`);
  t.equal((await logIn(user)).statusCode, 200, 'what is not confirmed asks nobody for a code');

  const confirm = (totp: string) => user.as('POST', `${FACTOR}/confirm`, { totp });
  t.match((await confirm('000000')).json(), { code: 'INVALID_SECOND_FACTOR' });
  const confirmed = await confirm(showCode(secret, -1));
  t.equal(confirmed.statusCode, 200);
  const { recovery_codes } = confirmed.json<{ recovery_codes: string[] }>();
  t.equal(new Set(recovery_codes).size, 10);
  t.match(recovery_codes[0], /^([a-z2-9]{4}-){3}[a-z2-9]{4}$/);
  t.equal((await confirm(showCode(secret))).statusCode, 404, 'once');
  t.match((await user.as('POST', FACTOR)).json(), { code: 'SECOND_FACTOR_EXISTS' });
  t.equal((await sendWith(server, other.token, 'GET', '/api/users/me')).statusCode, 401, 'other sessions have ended');

  const told = (await user.as('GET', FACTOR)).json<{ enabled_at: string }>();
  t.match(told, { enabled: true, recovery_codes_left: 10 });
  t.ok(Date.parse(told.enabled_at) > 0);
  t.notMatch(JSON.stringify(told), secret);
  t.match((await user.as('GET', '/api/users/me')).json(), { second_factor: true });
  t.match((await logIn(user)).json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.match((await logIn(user, showCode(secret, -1))).json(), { code: 'INVALID_SECOND_FACTOR' }, 'used to enrol');
  const rows = await sql<{ row: string }>('select c::text as row from private.user_recovery_codes c');
  t.notOk(
    rows.some(({ row }) => recovery_codes.some((code) => row.includes(code))),
    'only digests are kept',
  );
  t.match((await mailTo(user, /second factor was turned on/)).text, /If it was not you/);
});

t.test('it is set up by who knows the password or has just signed in, and by no key', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  await age(user);
  t.match((await user.as('POST', FACTOR)).json(), { code: 'PROOF_REQUIRED' });
  t.match((await user.as('POST', FACTOR, { current_password: 'wrong' })).json(), { code: 'INVALID_CREDENTIALS' });
  for (const payload of [undefined, { current_password: user.password }]) {
    t.match((await sendWith(server, key, 'POST', FACTOR, payload)).json(), { code: 'PROOF_REQUIRED' });
  }
  t.equal((await user.as('POST', FACTOR, { current_password: user.password })).statusCode, 201);
  const begun = await user.as('POST', FACTOR, { current_password: user.password });
  const { secret } = begun.json<{ secret: string }>();
  t.equal((await user.as('POST', `${FACTOR}/confirm`, { totp: showCode(secret) })).statusCode, 200, 'the newest one');

  const late = await registerUser(server);
  const { secret: old } = (await late.as('POST', FACTOR)).json<{ secret: string }>();
  await sql(`update private.user_second_factors set created_at = now() - interval '1 hour' where user_id = $1`, [
    late.id,
  ]);
  t.equal((await late.as('POST', `${FACTOR}/confirm`, { totp: showCode(old) })).statusCode, 404, 'within an hour');
});

t.test('guessing the password or the first code is limited', async (t) => {
  const user = await registerUser(server);
  await user.as('POST', FACTOR);
  for (let n = 0; n < 9; n += 1) {
    t.equal((await user.as('POST', `${FACTOR}/confirm`, { totp: '000000' })).statusCode, 401);
  }
  t.equal((await user.as('POST', `${FACTOR}/confirm`, { totp: '000000' })).statusCode, 429);
  t.equal((await user.as('POST', FACTOR, { current_password: user.password })).statusCode, 429);
});

t.test('it is turned off with the password and a code, or a recovery code', async (t) => {
  const user = await registerUser(server);
  const { secret, recoveryCodes } = await enrolUser(user);
  const remove = (payload: object) => user.as('POST', `${FACTOR}/remove`, payload);
  const { password: current_password } = user;
  t.match((await remove({ totp: showCode(secret) })).json(), { code: 'INVALID_CREDENTIALS' }, 'the code alone');
  t.match((await remove({ totp: showCode(secret), current_password: 'x' })).json(), { code: 'INVALID_CREDENTIALS' });
  t.match((await remove({ totp: '000000', current_password })).json(), { code: 'INVALID_SECOND_FACTOR' });
  t.equal((await remove({ current_password })).statusCode, 400);
  const key = (await user.as('POST', '/api/users/me/api-keys', { name: 'x', scopes: ['account'] })).json<{
    key: string;
  }>();
  const byKey = await sendWith(server, key.key, 'POST', `${FACTOR}/remove`, {
    totp: showCode(secret),
    current_password,
  });
  t.match(byKey.json(), { code: 'PROOF_REQUIRED' });
  t.strictSame((await remove({ totp: showCode(secret), current_password })).json(), { removed: true });
  t.equal((await logIn(user)).statusCode, 200);
  t.match((await user.as('GET', FACTOR)).json(), { enabled: false, recovery_codes_left: 0 });
  t.equal((await remove({ totp: recoveryCodes[0] ?? '', current_password })).statusCode, 404);
  await mailTo(user, /second factor was turned off/);

  const again = await enrolUser(user);
  t.strictSame((await remove({ totp: again.recoveryCodes[0] ?? '', current_password })).json(), { removed: true });
});

t.test('an account without a password turns it off with a fresh proof and a code', async (t) => {
  const user = await registerUser(server);
  const { secret } = await enrolUser(user);
  await sql('delete from private.user_credentials where user_id = $1', [user.id]);
  await age(user);
  const remove = (totp: string) => user.as('POST', `${FACTOR}/remove`, { totp });
  t.match((await remove(showCode(secret))).json(), { code: 'PROOF_REQUIRED' });
  await sql('update private.sessions set proved_at = now() where user_id = $1', [user.id]);
  t.strictSame((await remove(showCode(secret))).json(), { removed: true });
});

t.test('recovery codes are renewed with the password and a code; the old ones are good no longer', async (t) => {
  const user = await registerUser(server);
  const { secret, recoveryCodes } = await enrolUser(user);
  const renew = (payload: object) => user.as('POST', `${FACTOR}/recovery-codes`, payload);
  const { password: current_password } = user;
  t.match((await renew({ totp: showCode(secret) })).json(), { code: 'INVALID_CREDENTIALS' });
  t.match((await renew({ totp: '000000', current_password })).json(), { code: 'INVALID_SECOND_FACTOR' });
  const renewed = await renew({ totp: showCode(secret), current_password });
  const { recovery_codes } = renewed.json<{ recovery_codes: string[] }>();
  t.equal(new Set([...recovery_codes, ...recoveryCodes]).size, 20);
  t.equal((await logIn(user, recoveryCodes[0])).statusCode, 401);
  t.equal((await logIn(user, recovery_codes[0])).statusCode, 200);
  t.match((await user.as('GET', FACTOR)).json(), { recovery_codes_left: 9 });
  await mailTo(user, /new recovery codes/);
});

t.test('with a second factor, a fresh proof takes its code, and more acts need one', async (t) => {
  const user = await registerUser(server);
  const { secret } = await enrolUser(user);
  const key = await createApiKey(user);
  t.match(key, /^tlk_/, 'the sign-in was just now');
  await age(user);
  const prove = (payload: object) => user.as('POST', '/api/auth/reauthenticate', payload);
  const change = { current_password: user.password, new_password: NEW_PASSWORD };
  const acts = [
    () => user.as('POST', '/api/users/me/api-keys', { name: 'x' }),
    () => user.as('POST', '/api/users/me/password', change),
    () => user.as('PUT', '/api/users/me', { email: 'new@example.com' }),
    () => user.as('DELETE', '/api/users/me'),
  ];
  for (const act of acts) t.match((await act()).json(), { code: 'PROOF_REQUIRED' });
  const { password } = user;
  t.match((await prove({ password: 'wrong', totp: showCode(secret) })).json(), { code: 'INVALID_CREDENTIALS' });
  t.match((await prove({ password })).json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.match((await prove({ password, totp: '000000' })).json(), { code: 'INVALID_SECOND_FACTOR' });
  t.match((await acts[0]?.())?.json(), { code: 'PROOF_REQUIRED' });
  t.equal((await prove({ password, totp: showCode(secret) })).statusCode, 200);
  t.equal((await acts[0]?.())?.statusCode, 201);
  t.equal((await acts[1]?.())?.statusCode, 200);

  const asKey = (url: string, payload: object) => sendWith(server, key, 'POST', url, payload);
  t.equal((await sendWith(server, key, 'GET', '/api/users/me')).statusCode, 200, 'keys are asked for no code');
  t.equal((await asKey('/api/users/me/api-keys', { name: 'y' })).statusCode, 201);
  const byKey = await asKey('/api/users/me/password', { ...change, current_password: NEW_PASSWORD });
  t.match(byKey.json(), { code: 'PROOF_REQUIRED' }, 'but set no password');
});

t.test('a mailed code proves with a code of the second factor, and a wrong one uses neither up', async (t) => {
  const user = await registerUser(server);
  const { secret } = await enrolUser(user);
  await sql('delete from private.user_credentials where user_id = $1', [user.id]);
  await age(user);
  await user.as('POST', '/api/auth/reauthenticate/code');
  const [, code = ''] = /^(\d{4} \d{4})$/m.exec((await mailTo(user, /code/)).text) ?? [];
  const prove = (payload: object) => user.as('POST', '/api/auth/reauthenticate', payload);
  t.equal((await prove({ totp: showCode(secret) })).statusCode, 400, 'by itself it proves nothing');
  t.match((await prove({ code })).json(), { code: 'SECOND_FACTOR_REQUIRED' });
  t.match((await prove({ code, totp: '000000' })).json(), { code: 'INVALID_SECOND_FACTOR' });
  t.match((await prove({ code: '0000 0000', totp: showCode(secret) })).json(), { code: 'INVALID_CREDENTIALS' });
  t.equal((await prove({ code, totp: showCode(secret) })).statusCode, 200);
});

t.test('an admin takes away one that was lost, which ends the sessions; viewers may not', async (t) => {
  const [operator, viewer] = [await logInAsAdmin(server, 'op', 'operator'), await logInAsAdmin(server, 'vi', 'viewer')];
  const user = await registerUser(server);
  const url = `/api/admin/users/${user.id}`;
  t.match((await operator.as('DELETE', `${url}/second-factor`)).json(), { code: 'SECOND_FACTOR_NOT_FOUND' });
  await user.as('POST', FACTOR);
  t.match((await operator.as('DELETE', `${url}/second-factor`)).json(), { code: 'SECOND_FACTOR_NOT_FOUND' });
  const { secret } = await enrolUser(user);
  t.match((await viewer.as('GET', url)).json(), { second_factor: true });
  t.match((await viewer.as('DELETE', `${url}/second-factor`)).json(), { code: 'INSUFFICIENT_ROLE' });
  t.strictSame((await operator.as('DELETE', `${url}/second-factor`)).json(), { removed: true, ended: 1 });
  t.equal((await user.as('GET', '/api/users/me')).statusCode, 401);
  t.equal((await logIn(user)).statusCode, 200);
  await mailTo(user, /second factor was turned off/);
  const { entries } = (await operator.as('GET', `/api/admin/audit?target=user:${user.id}`)).json<{
    entries: { actor: string; action: string }[];
  }>();
  t.match(
    entries.find(({ action }) => action === 'remove_user_second_factor'),
    { actor: 'admin:op' },
  );
  t.notMatch(JSON.stringify(entries), secret);

  const other = await registerUser(server);
  await enrolUser(other);
  const byHand = (person: string) => sql(`select remove_person_second_factor($1, 'lost a phone') as done`, [person]);
  t.match(await byHand(other.id), [{ done: { removed: true, ended: 1 } }]);
});

t.test('the export says that there is one and no secret, and deleting the account leaves nothing of it', async (t) => {
  const user = await registerUser(server);
  const { secret, recoveryCodes } = await enrolUser(user);
  const exported = await user.as('GET', '/api/users/me/export');
  t.match(exported.json(), { profile: { second_factor: true } });
  t.notOk([secret, ...recoveryCodes].some((text) => exported.payload.includes(text)));
  t.equal((await logIn(user)).statusCode, 401);
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  for (const table of ['user_second_factors', 'user_recovery_codes', 'sign_in_challenges']) {
    t.strictSame(await sql(`select 1 from private.${table} where user_id = $1`, [user.id]), [], table);
  }
  await forgetUsedCodes(server, user);
  await server.verifyLedger(t);
});

t.end();
