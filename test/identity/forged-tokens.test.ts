import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import t from 'tap';
import { checksumsOf, endpointsOf, flawsOf, PREFIXES } from '../helpers/bad-input.js';
import { openTestServer } from '../helpers/test-server.js';

const server = await openTestServer(t);
const device = await server.registerDevice();
const secret = server.backend.jwtSecret;

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const HASHES: Readonly<Record<string, string>> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

/** A token made by hand, so that it can lie in any part. */
function forge(header: Readonly<Record<string, unknown>>, claims: unknown, key: string | Buffer = secret): string {
  const input = `${encoded({ typ: 'JWT', ...header })}.${encoded(claims)}`;
  const hash = HASHES[String(header['alg'])] ?? 'sha256';
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}

const now = Math.floor(Date.now() / 1000);
const CLAIMS = { aud: 'device', sub: device.id, ver: 1, iss: 'tokenledger', iat: now, exp: now + 3600 };
const HS256 = { alg: 'HS256' };
const genuine = forge(HS256, CLAIMS);
const [head = '', payload = '', signature = ''] = genuine.split('.');

function without(...names: string[]) {
  return Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => !names.includes(name)));
}

function withAsymmetricKey(): string {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const input = `${encoded({ alg: 'RS256', typ: 'JWT', jwk: publicKey.export({ format: 'jwk' }) })}.${encoded(CLAIMS)}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}

const databaseClaims = { role: 'authenticated', sub: device.id, device_id: device.id, iat: now, exp: now + 300 };
const FORGED: Readonly<Record<string, string>> = {
  'no algorithm and no signature': `${encoded({ alg: 'none', typ: 'JWT' })}.${payload}.`,
  'no algorithm, spelt otherwise': `${encoded({ alg: 'nOnE', typ: 'JWT' })}.${payload}.`,
  'no algorithm and the genuine signature': `${encoded({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`,
  HS384: forge({ alg: 'HS384' }, CLAIMS),
  HS512: forge({ alg: 'HS512' }, CLAIMS),
  'an asymmetric key of its own': withAsymmetricKey(),
  'another key': forge(HS256, CLAIMS, randomBytes(32).toString('base64url')),
  'an empty key': forge(HS256, CLAIMS, ''),
  'the genuine signature under other claims': `${head}.${encoded({ ...CLAIMS, ver: 2 })}.${signature}`,
  'no signature': `${head}.${payload}.`,
  'half a signature': `${head}.${payload}.${signature.slice(0, 20)}`,
  'a fourth part': `${genuine}.${signature}`,
  'only two parts': `${head}.${payload}`,
  'noise in its middle': `${head}.${payload.slice(0, 10)}%%%${payload.slice(10)}.${signature}`,
  'claims that are no object': forge(HS256, 'device'),
  'the audience user': forge(HS256, { ...CLAIMS, aud: 'user' }),
  'the audience tracker': forge(HS256, { ...CLAIMS, aud: 'tracker' }),
  'the audience admin': forge(HS256, { ...CLAIMS, aud: 'admin' }),
  'an audience among others': forge(HS256, { ...CLAIMS, aud: ['admin', 'device'] }),
  'no audience': forge(HS256, without('aud')),
  'another issuer': forge(HS256, { ...CLAIMS, iss: 'somebody' }),
  'no issuer': forge(HS256, without('iss')),
  'an expiry in the past': forge(HS256, { ...CLAIMS, iat: now - 7200, exp: now - 3600 }),
  'no expiry': forge(HS256, without('exp')),
  'an expiry that is no number': forge(HS256, { ...CLAIMS, exp: 'never' }),
  'a start in the future': forge(HS256, { ...CLAIMS, nbf: now + 3600 }),
  'no subject': forge(HS256, without('sub')),
  'a subject that is no id': forge(HS256, { ...CLAIMS, sub: 'x'.repeat(36) }),
  'a subject that is a list': forge(HS256, { ...CLAIMS, sub: [device.id] }),
  'no version': forge(HS256, without('ver')),
  'the version 0': forge(HS256, { ...CLAIMS, ver: 0 }),
  'a version ahead': forge(HS256, { ...CLAIMS, ver: 2 }),
  'a version beyond an integer': forge(HS256, { ...CLAIMS, ver: 2 ** 40 }),
  'a version that is text': forge(HS256, { ...CLAIMS, ver: '1' }),
  "a database token's claims and another key": forge(HS256, databaseClaims, randomBytes(32)),
  "a database token's claims and the right key": forge(HS256, databaseClaims),
  'the claims of the service': forge(HS256, { role: 'service_role', iat: now, exp: now + 300 }),
};

function answersTo(token: string) {
  const endpoints = endpointsOf(device).filter(({ guarded }) => guarded);
  const calls = PREFIXES.flatMap((prefix) =>
    endpoints.map(({ method, path, body }) => server.as({ ...device, token }, method, `${prefix}${path}`, body)),
  );
  return Promise.all(calls);
}

t.test('a token made by hand exactly as the server makes them is accepted', async (t) => {
  const answers = await answersTo(genuine);
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    Array.from({ length: 8 }, () => 200),
  );
  await server.verifyLedger(t);
});

for (const [title, token] of Object.entries(FORGED)) {
  t.test(`a token with ${title} is refused with 401 on every route, and nothing changes`, async (t) => {
    const before = await checksumsOf(server.database);
    for (const answer of await answersTo(token)) {
      t.equal(answer.statusCode, 401);
      t.match(answer.json(), { code: 'INVALID_TOKEN' });
      t.strictSame(flawsOf(answer, title), []);
    }
    t.strictSame(await checksumsOf(server.database), before);
  });
}

t.test('a token is refused once it is over, however often it was accepted before', async (t) => {
  const brief = server.app.jwt.sign({ aud: 'device', sub: device.id, ver: 1 }, { expiresIn: '3s' });
  const balance = () => server.as({ ...device, token: brief }, 'GET', `/api/devices/${device.id}/tokens`);
  t.equal((await balance()).statusCode, 200);
  let status = 200;
  while (status === 200) status = (await balance()).statusCode;
  t.equal(status, 401);
});

t.end();
