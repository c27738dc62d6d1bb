import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { ADA, openGoogle, REDIRECT_URI, readRedirect, signIn } from '../../helpers/sign-in.js';

const google = await openGoogle(t);
const server = await openTestServer(t, { environment: google.environment });
const { service } = google.oauth;

interface Token {
  readonly payload: Record<string, unknown>;
}
interface TokenAnswer {
  statusCode: number;
  body: Record<string, unknown>;
}

/** Asserts that nobody gets in: refused, or where the answer cannot be Google's, as if Google were not there. */
async function assertNobody(t: Test, code: 'INVALID_CREDENTIALS' | 'SERVICE_UNAVAILABLE'): Promise<void> {
  const [status, error] = code === 'INVALID_CREDENTIALS' ? [401, 'access_denied'] : [503, 'temporarily_unavailable'];
  const response = await signIn(server);
  t.equal(response.statusCode, status);
  t.match(response.json(), { code });
  const told = readRedirect(await signIn(server, { redirect_uri: REDIRECT_URI, state: 's' }));
  t.strictSame(Object.fromEntries(told), { error, state: 's' });
  t.strictSame(await server.database.sql('select 1 from users'), [], 'and there is no account');
}

/** Changes every token Google signs while the test runs. */
function spoilClaims(t: Test, change: () => Record<string, unknown>): void {
  const spoil = ({ payload }: Token) => Object.assign(payload, change());
  service.on('beforeTokenSigning', spoil);
  t.teardown(() => service.off('beforeTokenSigning', spoil));
}

/** Changes every answer of Google's token endpoint while the test runs. */
function spoilAnswer(t: Test, change: (answer: TokenAnswer) => void): void {
  service.on('beforeResponse', change);
  t.teardown(() => service.off('beforeResponse', change));
}

const now = () => Math.floor(Date.now() / 1_000);
const OURS = google.environment['GOOGLE_CLIENT_ID'];
const CHANGES: Readonly<Record<string, () => Record<string, unknown>>> = {
  'another issuer': () => ({ iss: 'https://accounts.evil.com' }),
  'another audience': () => ({ aud: 'another-client' }),
  'another audience besides us, for which it was made': () => ({ aud: [OURS, 'another'], azp: 'another' }),
  'another nonce': () => ({ nonce: 'another' }),
  'an end in the past': () => ({ exp: now() - 120, iat: now() - 3_600 }),
  'a beginning in the future': () => ({ nbf: now() + 3_600 }),
  'a subject longer than one may be': () => ({ sub: 'x'.repeat(256) }),
  'an address Google did not verify': () => ({ email_verified: false }),
  'an address without a word on whether it is verified': () => ({ email_verified: undefined }),
  'an address that is none': () => ({ email: 'ada' }),
  'an address with a character nobody sees': () => ({ email: 'ada\u200b@example.com' }),
  'an address with half a character': () => ({ email: 'ada\ud800@example.com' }),
};
for (const [what, change] of Object.entries(CHANGES)) {
  t.test(`an ID token with ${what} logs nobody in`, async (t) => {
    spoilClaims(t, change);
    await assertNobody(t, 'INVALID_CREDENTIALS');
  });
}

for (const claim of ['nonce', 'sub', 'aud', 'exp']) {
  t.test(`an ID token without ${claim} logs nobody in`, async (t) => {
    spoilClaims(t, () => ({ [claim]: undefined }));
    await assertNobody(t, 'SERVICE_UNAVAILABLE');
  });
}

const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const parsed = (part: string): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());
const FORGERIES: Readonly<Record<string, (header: string, payload: string, signature: string) => string>> = {
  'whose claims were changed after it was signed': (header, payload, signature) =>
    `${header}.${base64url({ ...parsed(payload), email: 'victim@example.com' })}.${signature}`,
  'without a signature': (header, payload) => `${base64url({ ...parsed(header), alg: 'none' })}.${payload}.`,
  'signed with a key of a stranger': (header, payload) =>
    `${header}.${payload}.${sign('sha256', Buffer.from(`${header}.${payload}`), stranger).toString('base64url')}`,
  'signed with the client secret': (header, payload) => {
    const signed = `${base64url({ ...parsed(header), alg: 'HS256' })}.${payload}`;
    return `${signed}.${createHmac('sha256', 'our-secret').update(signed).digest('base64url')}`;
  },
  'that is no token': () => 'none',
};
for (const [what, forge] of Object.entries(FORGERIES)) {
  t.test(`an ID token ${what} logs nobody in`, async (t) => {
    spoilAnswer(t, ({ body }) => {
      const [header = '', payload = '', signature = ''] = String(body['id_token']).split('.');
      body['id_token'] = forge(header, payload, signature);
    });
    await assertNobody(t, 'SERVICE_UNAVAILABLE');
  });
}

t.test('an answer without an ID token logs nobody in', async (t) => {
  spoilAnswer(t, ({ body }) => delete body['id_token']);
  await assertNobody(t, 'SERVICE_UNAVAILABLE');
});

t.test('a code Google does not take logs nobody in', async (t) => {
  spoilAnswer(t, (answer) => {
    answer.statusCode = 400;
    answer.body = { error: 'invalid_grant', error_description: 'Bad Request' };
  });
  await assertNobody(t, 'INVALID_CREDENTIALS');
});

t.test('a profile that is not in the ID token is asked for, and must be about the same person', async (t) => {
  let sub: string = 'somebody else';
  spoilClaims(t, () => ({ email: undefined, email_verified: undefined, name: undefined }));
  service.on('beforeUserinfo', (answer: TokenAnswer) => {
    answer.body = { ...ADA, sub };
  });
  await assertNobody(t, 'INVALID_CREDENTIALS');
  sub = ADA.sub;
  const response = await signIn(server);
  t.equal(response.statusCode, 200);
  t.match(response.json(), { user: { email: 'ada@example.com', name: ADA.name } });
});

t.end();
