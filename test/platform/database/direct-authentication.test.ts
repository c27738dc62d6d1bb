import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { openTestDataApi, post } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

/** PostgREST's documentation, "Authentication". One connection, so that every call follows another on it. */
const data = await openTestDataApi(
  t,
  `create function caller() returns json language sql stable as $$
     select json_build_object('role', current_user, 'session', session_user, 'claims', auth.jwt(), 'sub', auth.uid(),
                              'setting', current_setting('request.jwt.claims', true)) $$;
   create function fails() returns void language plpgsql as $$ begin raise exception 'no'; end $$;
   create function for_users() returns text language sql stable as $$ select 'yes' $$;
   revoke execute on function for_users() from anon, service_role;`,
  { poolSize: 1 },
);

const SUBJECT = '7b6a1f9e-3a55-4f3c-9f0e-0d9c3f1c2b11';
const now = () => Math.floor(Date.now() / 1000);
const sign = (claims: JWTPayload, alg: string, key: Parameters<SignJWT['sign']>[0] = data.secret) =>
  new SignJWT(claims).setProtectedHeader({ alg }).sign(key);

t.test('without a token, or with one without a role, the caller is anon', async (t) => {
  const anonymous = { role: 'anon', session: 'authenticator', claims: { role: 'anon' }, sub: null };
  t.match((await data.call('caller', {}, null)).body, anonymous);
  t.match((await data.call('caller', {}, await data.sign({}))).body, anonymous);
  t.match((await post(data.fetch, 'caller', '{}', { authorization: 'Basic dXNlcjpwYXNz' })).body, anonymous);
  t.match((await data.call('for_users', {}, null)).status, 401);
});

t.test('a token’s role is taken on for the call and no other', async (t) => {
  for (const role of ['anon', 'authenticated', 'service_role']) {
    const { body } = await data.call('caller', {}, await data.sign({ role }));
    t.match(body, { role, session: 'authenticator', claims: { role } });
  }
  const user = await data.sign({ role: 'authenticated' });
  t.equal((await data.call('for_users', {}, user)).body, 'yes');
  t.match(await data.call('for_users'), { status: 403, body: { code: '42501' } });
});

t.test('the scheme Bearer may be written in any case', async (t) => {
  const token = await data.sign({ role: 'authenticated' });
  for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
    const answer = await post(data.fetch, 'caller', '{}', { authorization: `${scheme} ${token}` });
    t.match(answer.body, { role: 'authenticated' });
  }
});

t.test('the claims are visible in the call, whatever they hold, and gone in the next on the connection', async (t) => {
  const claims = {
    role: 'authenticated',
    sub: SUBJECT,
    device_id: `d'); select pg_sleep(9); --`,
    name: '\\ é漢🎬 "q"',
  };
  const { body } = await data.call('caller', {}, await data.sign(claims));
  t.match(body, { role: 'authenticated', sub: SUBJECT, setting: JSON.stringify(claims) });
  t.strictSame(Object(body).claims, claims);

  const next = await data.call('caller', {}, null);
  t.match(next.body, { role: 'anon', sub: null, setting: '{"role":"anon"}' });
});

t.test('neither role nor claims survive a call that failed', async (t) => {
  const user = await data.sign({ role: 'authenticated', sub: SUBJECT });
  t.equal((await data.call('fails', {}, user)).status, 400);
  t.match((await data.call('caller', {}, null)).body, { role: 'anon', session: 'authenticator', sub: null });
});

t.test('an expired token is 401 PGRST303, after half a minute for clocks that differ', async (t) => {
  const expired = await data.sign({ role: 'service_role', exp: now() - 60 });
  const { status, body, headers } = await data.call('caller', {}, expired);
  t.equal(status, 401);
  t.strictSame(body, { code: 'PGRST303', message: 'JWT expired', details: null, hint: null });
  t.equal(headers.get('www-authenticate'), 'Bearer');
  const barely = await data.sign({ role: 'service_role', exp: now() - 5 });
  t.equal((await data.call('caller', {}, barely)).status, 200);
  t.equal((await data.call('caller', {}, barely)).status, 200, 'once it is known, too');
});

t.test('a token from the future, or with times that are no numbers, is 401 PGRST303', async (t) => {
  const wrong: JWTPayload[] = [
    { nbf: now() + 300 },
    { iat: now() + 300 },
    JSON.parse('{"exp":"2100-01-01"}'),
    JSON.parse('{"nbf":"now"}'),
    JSON.parse('{"iat":true}'),
  ];
  for (const claims of wrong) {
    const token = await data.sign({ role: 'service_role', ...claims });
    t.match(await data.call('caller', {}, token), { status: 401, body: { code: 'PGRST303' } }, JSON.stringify(claims));
  }
  const right = await data.sign({ role: 'service_role', nbf: now() + 5, iat: now() + 5, exp: now() + 60 });
  t.equal((await data.call('caller', {}, right)).status, 200);
});

t.test('a token that was accepted is refused once it has expired', async (t) => {
  const token = await data.sign({ role: 'service_role', exp: now() - 26 });
  t.equal((await data.call('caller', {}, token)).status, 200);
  await untilTrue(async () => (await data.call('caller', {}, token)).status === 401);
  t.match(await data.call('caller', {}, token), { status: 401, body: { code: 'PGRST303' } });
});

t.test('a token signed with another key or algorithm, or with none, is 401 PGRST301', async (t) => {
  const claims = { role: 'service_role' };
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const good = await data.sign(claims);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const forged: Record<string, string> = {
    'another key': await sign(claims, 'HS256', randomBytes(32)),
    HS384: await sign(claims, 'HS384'),
    HS512: await sign(claims, 'HS512'),
    RS256: await sign(claims, 'RS256', rsa.privateKey),
    ES256: await sign(claims, 'ES256', ec.privateKey),
    none: new UnsecuredJWT(claims).encode(),
    'no signature': `${header}.${payload}.`,
    'another payload': `${header}.${Buffer.from('{"role":"service_role","sub":"x"}').toString('base64url')}.${signature}`,
    garbled: good.slice(0, -4),
    'two parts': `${header}.${payload}`,
    'four parts': `${good}.x`,
    text: 'not a token',
    empty: '',
  };
  for (const [kind, token] of Object.entries(forged)) {
    const answer = await data.call('caller', {}, token);
    t.match(answer, { status: 401, body: { code: 'PGRST301', details: null, hint: null } }, kind);
    t.equal(answer.headers.get('www-authenticate'), 'Bearer');
  }
});

t.test('a role that is not on the list is refused, whether it exists or not', async (t) => {
  const roles: unknown[] = [
    'postgres',
    'authenticator',
    'pg_monitor',
    'nobody',
    'ANON',
    'anon; drop',
    '',
    'none',
    1,
    {},
    [],
  ];
  await data.database.sql('grant pg_monitor to authenticator');
  for (const role of roles) {
    const token = await data.sign({ role });
    t.match(await data.call('caller', {}, token), { status: 403, body: { code: '42501' } }, JSON.stringify(role));
  }
});

t.end();
