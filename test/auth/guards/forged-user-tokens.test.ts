import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openUpstream } from '../../helpers/fakes/openrouter.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { findFlaws, readChecksums } from '../../helpers/http/bad-input.js';
import { atRoot, type DocumentedRoute, documentedRoutes } from '../../helpers/http/documented-routes.js';
import { forge, forgeAll, forgeLifetimes, without } from '../../helpers/http/forged-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';
import { untilTrue } from '../../helpers/until.js';

const stripe = await openStripe(t);
const upstream = await openUpstream(t);
const smtp = await openSmtpServer(t);
const environment = {
  ...stripe.environment,
  ...upstream.environment,
  ...mailEnvironment(smtp),
  EMAIL_ONLY_SIGNUP: 'on',
};
const server = await openTestServer(t, { environment });
const secret = server.backend.jwtSecret;
const routes = await documentedRoutes(server);
const userRoutes = routes.filter(({ schemes }) => schemes.includes('userToken'));
const trackerRoutes = routes.filter(({ schemes }) => schemes.includes('trackerToken'));
const HS256 = { alg: 'HS256' };
const now = Math.floor(Date.now() / 1_000);
const TIMES = { iss: 'tokenledger', iat: now, exp: now + 3_600 };

/** The session an access token was made for. */
function readSession({ token }: TestUser): string {
  const claims: { sid: string } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  return claims.sid;
}

function toClaims(user: TestUser) {
  return { aud: 'user', sub: user.id, sid: readSession(user), ...TIMES };
}

const user = await registerUser(server);
const other = await registerUser(server);
const loggedOut = await registerUser(server);
await loggedOut.as('POST', '/api/auth/logout');
const key = await createApiKey(user);
const trackerToken = await signUp(server, user.email);
const device = await server.registerDevice();
const admin = await logInAsAdmin(server);
const claims = toClaims(user);
const changed = (changes: object) => forge(HS256, { ...claims, ...changes }, secret);

/** A log-out of every session: with an API key there is no other. */
const everySession = (field: string) => (field === 'all' ? true : undefined);

/** What goes wrong when requests to routes, on both prefixes, are not all refused with this status. */
async function acceptedBy(refusing: readonly DocumentedRoute[], token: string, status: number, code: string) {
  const flaws: string[] = [];
  for (const { name, request } of refusing) {
    for (const sent of [request(everySession), atRoot(request(everySession))]) {
      const response = await server.app.inject({ ...sent, headers: { authorization: `Bearer ${token}` } });
      flaws.push(...findFlaws(response, name));
      if (response.statusCode !== status) flaws.push(`${name}: ${response.statusCode}`);
      const openAi = name.includes('/messages') ? code.toLowerCase() : 'invalid_api_key';
      const accepted = name.includes('/v1/') ? openAi : code;
      if (!response.payload.includes(`"code":"${accepted}"`)) flaws.push(`${name}: ${response.payload}`);
    }
  }
  return flaws;
}

/** Asserts that a token is refused with 401 by every user route and with 403 by the tracker's, and changes nothing. */
async function assertRefused(t: Test, token: string, refusing = userRoutes): Promise<void> {
  // What was noticed earlier is mailed first, as mails go behind the answers' backs.
  await untilTrue(async () => (await server.database.sql('select from private.mails')).length === 0);
  const before = await readChecksums(server.database);
  t.strictSame(await acceptedBy(refusing, token, 401, 'INVALID_TOKEN'), []);
  t.strictSame(await acceptedBy(trackerRoutes, token, 403, 'TRACKER_TOKEN_INVALID'), []);
  t.strictSame(await readChecksums(server.database), before, 'nothing changed');
}

t.test('a token made by hand exactly as the server makes them opens every user route', async (t) => {
  t.ok(userRoutes.length >= 6, 'routes were found');
  for (const { name, request } of userRoutes.filter(({ isStream }) => !isStream)) {
    // Some of them end the session, or the account.
    const person = await registerUser(server);
    const authorization = `Bearer ${forge(HS256, toClaims(person), secret)}`;
    const response = await server.app.inject({ ...request(), headers: { authorization } });
    t.notMatch(String(response.statusCode), /^(400|401|403|5..)$/, `${name}: ${response.payload}`);
  }
  await server.verifyLedger(t);
});

t.test('a tracker token made by hand exactly as the server makes them opens trackUsage', async (t) => {
  t.equal(trackerRoutes.length, 1);
  for (const { request } of trackerRoutes) {
    const authorization = `Bearer ${forge(HS256, { aud: 'tracker', sub: other.id, ...TIMES }, secret)}`;
    t.equal((await server.app.inject({ ...request(), headers: { authorization } })).statusCode, 200);
  }
  await server.verifyLedger(t);
});

const FORGED: Readonly<Record<string, string>> = {
  ...forgeAll(claims, secret),
  ...forgeLifetimes(claims, secret),
  'the audience admin': changed({ aud: 'admin', ver: 1 }),
  "another's session": changed({ sid: readSession(other) }),
  "another's id and this session": changed({ sub: other.id }),
  'a session nobody has': changed({ sid: randomUUID() }),
  'an account nobody has': changed({ sub: randomUUID() }),
  'a session that was ended': forge(HS256, toClaims(loggedOut), secret),
  'no session': forge(HS256, without(claims, 'sid'), secret),
  'a session that is null': changed({ sid: null }),
  'a session that is a list': changed({ sid: [claims.sid] }),
  'a session in capitals': changed({ sid: claims.sid.toUpperCase().replace(/\d/g, 'A') }),
  'an API key in place of a session': forge(HS256, { ...without(claims, 'sid'), key_id: randomUUID() }, secret),
  "a database token's claims": forge(HS256, { ...claims, aud: 'authenticated', role: 'authenticated' }, secret),
};

t.test('a token with the audience device is refused on every user route that is not for devices as well', (t) => {
  const refusing = userRoutes.filter(({ schemes }) => !schemes.includes('deviceToken'));
  return assertRefused(t, changed({ aud: 'device', ver: 1 }), refusing);
});

for (const [title, token] of Object.entries(FORGED)) {
  t.test(`a token with ${title} is refused on every user route and by trackUsage`, (t) => assertRefused(t, token));
}

const swapped = (text: string, at: number) => {
  const replacement = text[at] === 'a' ? 'b' : 'a';
  return `${text.slice(0, at)}${replacement}${text.slice(at + 1)}`;
};
const FORGED_KEYS: Readonly<Record<string, string>> = {
  'with a wrong checksum': swapped(key, key.length - 1),
  'with another character within': swapped(key, 20),
  'without its last character': key.slice(0, -1),
  'with a character more': `${key}a`,
  'in capitals': `tlk_${key.slice(4).toUpperCase()}`,
  'with its prefix only': 'tlk_',
  'as shown in a list': key.slice(0, 12),
  'with SQL in it': "tlk_'or'1'='1",
};

for (const [title, token] of Object.entries(FORGED_KEYS)) {
  t.test(`an API key ${title} is refused on every user route and by trackUsage`, (t) => assertRefused(t, token));
}

t.test('an API key that was deleted or has expired is refused, also where it was used a moment ago', async (t) => {
  const use = (token: string) =>
    server.app.inject({ url: '/api/users/me/api-keys', headers: { authorization: `Bearer ${token}` } });
  for (const end of ['delete from private.api_keys', 'update private.api_keys set expires_at = now()']) {
    const person = await registerUser(server);
    const ending = await createApiKey(person);
    t.equal((await use(ending)).statusCode, 200);
    await server.database.sql(`${end} where user_id = $1`, [person.id]);
    await assertRefused(t, ending);
  }
});

const TRACKER_CLAIMS = { aud: 'tracker', sub: user.id, ...TIMES };
const FORGED_TRACKERS: Readonly<Record<string, string>> = {
  ...forgeAll(TRACKER_CLAIMS, secret),
  ...forgeLifetimes(TRACKER_CLAIMS, secret),
};

t.test('every forged tracker token is refused by trackUsage with 403, and on every user route with 401', async (t) => {
  const before = await readChecksums(server.database);
  for (const [title, token] of Object.entries(FORGED_TRACKERS)) {
    t.strictSame(await acceptedBy(trackerRoutes, token, 403, 'TRACKER_TOKEN_INVALID'), [], title);
    t.strictSame(await acceptedBy(userRoutes, token, 401, 'INVALID_TOKEN'), [], title);
  }
  t.strictSame(await readChecksums(server.database), before, 'nothing changed');
});

t.test('a genuine token opens the routes of its kind only', async (t) => {
  const genuine: readonly (readonly [kind: string, scheme: string, token: string])[] = [
    ['access token', 'userToken', user.token],
    ['API key', 'userToken', key],
    ['tracker token', 'trackerToken', trackerToken],
    ['device token', 'deviceToken', device.token],
    ['admin token', 'adminToken', admin.token],
    ['refresh token', 'none', user.refreshToken],
  ];
  for (const [kind, scheme, token] of genuine) {
    const before = await readChecksums(server.database);
    const closed = routes.filter(({ schemes }) => schemes.length > 0 && !schemes.includes(scheme));
    t.ok(closed.length > 0);
    const byTracker = closed.filter(({ schemes }) => schemes.includes('trackerToken'));
    const rest = closed.filter(({ schemes }) => !schemes.includes('trackerToken'));
    t.strictSame(await acceptedBy(rest, token, 401, 'INVALID_TOKEN'), [], `an ${kind} opens nothing else`);
    t.strictSame(await acceptedBy(byTracker, token, 403, 'TRACKER_TOKEN_INVALID'), [], kind);
    t.strictSame(await readChecksums(server.database), before, 'nothing changed');
  }
  await server.verifyLedger(t);
});

t.test('an access token is refused once it is over or its session ends, however often it was accepted', async (t) => {
  const person = await registerUser(server);
  const brief = server.app.jwt.sign({ aud: 'user', sub: person.id, sid: readSession(person) }, { expiresIn: '2s' });
  const sessions = (token: string) =>
    server.app.inject({ url: '/api/auth/sessions', headers: { authorization: `Bearer ${token}` } });
  t.equal((await sessions(brief)).statusCode, 200);
  let status = 200;
  while (status === 200) status = (await sessions(brief)).statusCode;
  t.equal(status, 401);

  t.equal((await sessions(person.token)).statusCode, 200);
  await server.database.sql('update private.sessions set expires_at = now() where user_id = $1', [person.id]);
  await assertRefused(t, person.token);
});

t.end();
