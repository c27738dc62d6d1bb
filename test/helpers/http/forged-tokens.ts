import { createHmac, createPrivateKey, generateKeyPairSync, hkdfSync, randomBytes, sign } from 'node:crypto';

type Claims = Readonly<Record<string, unknown>>;

/** Encodes any JSON as a part of a token. */
const encodePart = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

const HASHES: Readonly<Record<string, string>> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };
const HS256 = { alg: 'HS256' };

/** Makes a token by hand, so that it can lie in any part; signed as HS256 where its algorithm is none of that family. */
export function forge(header: Claims, claims: unknown, key: string | Buffer): string {
  const input = `${encodePart({ typ: 'JWT', ...header })}.${encodePart(claims)}`;
  const hash = HASHES[String(header['alg'])] ?? 'sha256';
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}

/** Returns the claims without some of them. */
export function without(claims: Claims, ...names: readonly string[]): Claims {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
}

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

/** Signs a token with an RSA key of the forger's own, which its header may offer to check it with. */
function signWithOwnKey(header: Claims, claims: Claims): string {
  const input = `${encodePart({ typ: 'JWT', alg: 'RS256', ...header })}.${encodePart(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}

/** Forges tokens without knowing the key, about claims that would be accepted. */
function forgeWithoutKey(claims: Claims, secret: string): Record<string, string> {
  const genuine = forge(HS256, claims, secret);
  const [head = '', payload = '', signature = ''] = genuine.split('.');
  const unsigned = (alg: unknown) => `${encodePart({ alg, typ: 'JWT' })}.${payload}`;
  const jwk = createPrivateKey(privateKey).export({ format: 'jwk' });
  return {
    'no algorithm and no signature': `${unsigned('none')}.`,
    'no algorithm, spelt otherwise': `${unsigned('nOnE')}.`,
    'no algorithm and the genuine signature': `${unsigned('none')}.${signature}`,
    'an algorithm that is no text': `${unsigned(['HS256'])}.${signature}`,
    'an algorithm that is null': `${unsigned(null)}.${signature}`,
    'another key': forge(HS256, claims, randomBytes(32).toString('base64url')),
    'an empty key': forge(HS256, claims, ''),
    'a key derived from the right one': forge(HS256, claims, Buffer.from(hkdfSync('sha256', secret, '', '', 32))),
    'an asymmetric key of its own': signWithOwnKey({}, claims),
    'an asymmetric key of its own, embedded': signWithOwnKey({ jwk: { kty: jwk.kty, n: jwk.n, e: jwk.e } }, claims),
    'an address to fetch its key from': signWithOwnKey({ jku: 'http://127.0.0.1:9/keys.json', kid: '1' }, claims),
    'an address to fetch its certificate from': signWithOwnKey({ x5u: 'http://127.0.0.1:9/cert.pem' }, claims),
    'a public key used as the secret': forge(HS256, claims, publicKey),
    'a public key used as the secret of RS256': forge({ alg: 'RS256' }, claims, publicKey),
    'a key id that is a path to an empty file': forge({ ...HS256, kid: '../../../../../dev/null' }, claims, ''),
    'a key id that is SQL': forge({ ...HS256, kid: "x' union select 'k" }, claims, 'k'),
    'an embedded secret': forge({ ...HS256, jwk: { kty: 'oct', k: encodePart('k') } }, claims, encodePart('k')),
    'no signature': `${head}.${payload}.`,
    'half a signature': `${head}.${payload}.${signature.slice(0, 20)}`,
    'a signature without its last character': genuine.slice(0, -1),
    'a signature whose last bits changed': `${genuine.slice(0, -1)}${flipLastBits(signature, 4)}`,
    'a signature whose unused last bits changed': `${genuine.slice(0, -1)}${flipLastBits(signature, 1)}`,
    'a signature with padding': `${genuine}=`,
    'a signature with more behind it': `${genuine}AAAA`,
    'the genuine signature under other claims': `${head}.${encodePart({ ...claims, extra: 1 })}.${signature}`,
    'a fourth part': `${genuine}.${signature}`,
    'only two parts': `${head}.${payload}`,
    'noise in its middle': `${head}.${payload.slice(0, 10)}%%%${payload.slice(10)}.${signature}`,
  };
}

/** Returns the last character of a signature with one of its bits flipped; of its six bits the lowest two say nothing. */
function flipLastBits(signature: string, bit: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet[alphabet.indexOf(signature.at(-1) ?? '') ^ bit] ?? '';
}

/** Signs tokens with the right key that this server never makes. */
function forgeWithKey(claims: Claims, secret: string): Record<string, string> {
  const now = Math.floor(Date.now() / 1_000);
  const changed = (changes: Claims) => forge(HS256, { ...claims, ...changes }, secret);
  const missing = (name: string) => forge(HS256, without(claims, name), secret);
  return {
    HS384: forge({ alg: 'HS384' }, claims, secret),
    HS512: forge({ alg: 'HS512' }, claims, secret),
    'a critical header nobody knows': forge({ ...HS256, crit: ['exp2'], exp2: 1 }, claims, secret),
    'claims that are no object': forge(HS256, 'user', secret),
    'claims that are a list': forge(HS256, [claims], secret),
    'no audience': missing('aud'),
    'an audience among others': changed({ aud: [claims['aud'], 'other'] }),
    'a list of its one audience': changed({ aud: [claims['aud']] }),
    'an unknown audience': changed({ aud: 'everybody' }),
    'another issuer': changed({ iss: 'somebody' }),
    'an issuer among others': changed({ iss: ['tokenledger'] }),
    'no issuer': missing('iss'),
    'an expiry in the past': changed({ iat: now - 7_200, exp: now - 3_600 }),
    'no expiry': missing('exp'),
    'an expiry that is no number': changed({ exp: 'never' }),
    'a start in the future': changed({ nbf: now + 3_600 }),
    'no time of issue': missing('iat'),
    'no subject': missing('sub'),
    'a subject that is no id': changed({ sub: 'x'.repeat(36) }),
    'a subject that is a list': changed({ sub: [claims['sub']] }),
    'the claims of the service': forge(HS256, { role: 'service_role', iat: now, exp: now + 300 }, secret),
  };
}

/** Signs tokens with the type of another kind of message, or none. */
function forgeTypes(claims: Claims, secret: string): Record<string, string> {
  const typed = (typ: unknown) => forge({ ...HS256, typ }, claims, secret);
  return {
    'the type of an OAuth access token': typed('at+jwt'),
    'the type of an encrypted token': typed('JWE'),
    'a type that is a list': typed(['JWT']),
    'a type that is null': typed(null),
  };
}

/** Signs tokens with the right key and a lifetime this server never gives. */
export function forgeLifetimes(claims: Claims, secret: string): Record<string, string> {
  const now = Math.floor(Date.now() / 1_000);
  const issued = (times: Claims) => forge(HS256, { ...claims, ...times }, secret);
  return {
    'an expiry in ten years': issued({ iat: now, exp: now + 10 * 365 * 86_400 }),
    'an expiry at the end of time': issued({ iat: now, exp: 1e300 }),
    'an expiry ten years after it was issued, long ago': issued({ iat: now - 10 * 365 * 86_400, exp: now + 60 }),
    'a time of issue in an hour': issued({ iat: now + 3_600, exp: now + 7_200 }),
    'a time of issue that is text': issued({ iat: String(now) }),
    'a time of issue before 1970': issued({ iat: -1 }),
  };
}

/** Forges one token in every way, about claims that would be accepted; keyed by what is wrong with it. */
export function forgeAll(claims: Claims, secret: string): Readonly<Record<string, string>> {
  return { ...forgeWithoutKey(claims, secret), ...forgeWithKey(claims, secret), ...forgeTypes(claims, secret) };
}
