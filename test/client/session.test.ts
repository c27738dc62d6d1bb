import { randomUUID } from 'node:crypto';
import { hasCode, type User } from '../../src/client/client.js';
import { registerUser } from '../helpers/accounts.js';
import { brittleStorage, memoryStorage, openClient, openNetwork } from '../helpers/client.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { ADA, followSignIn, openGoogle, REDIRECT_URI } from '../helpers/sign-in.js';
import { enrolUser, showCode } from '../helpers/totp.js';

const google = await openGoogle(t);
const server = await openTestServer(t, { environment: google.environment });
const url = await server.listen();
const password = 'correct horse battery staple';
const REFRESH = 'POST /api/auth/refresh';

/** Signs up in a storage; returns what makes the access token there look as if it had expired. */
async function signUp(storage = memoryStorage()) {
  const user = await openClient(t, url, { storage }).account.signUp({ email: `${randomUUID()}@example.com`, password });
  const wear = async () => {
    const session = JSON.parse(String(await storage.get('tokenledger.session')));
    await storage.set('tokenledger.session', JSON.stringify({ ...session, expiresAt: 0 }));
  };
  return { storage, user, wear };
}

t.test('people sign up, sign in and out, and are told what is wrong', async (t) => {
  const told: (string | undefined)[] = [];
  const onAccountChange = (user: User | undefined) => told.push(user?.email);
  const { account } = openClient(t, url, { onAccountChange });
  await t.rejects(account.profile(), { code: 'SIGNED_OUT', status: 401 });
  const email = `${randomUUID()}@example.com`;
  await t.rejects(account.signUp({ email, password: 'short' }), { code: 'VALIDATION_FAILED', status: 400 });
  await account.signUp({ email, password });
  t.match(await account.profile(), { email, tokens_left: 1_000_000 });
  await account.signOut();
  t.equal(await account.user(), undefined);
  await t.rejects(account.signIn(email, 'wrong'), { code: 'INVALID_CREDENTIALS', status: 401 });
  t.match(await account.signIn(email, password), { email });
  t.strictSame(told, [email, undefined, email]);
});

t.test('a sign-in waits for the code of a second factor, by password and by provider', async (t) => {
  const user = await registerUser(server);
  const { secret, recoveryCodes } = await enrolUser(user);
  const { account } = openClient(t, url);
  const asked = await account.signIn(user.email, user.password).catch((error: unknown) => error);
  if (!hasCode(asked, 'SECOND_FACTOR_REQUIRED')) throw asked;
  t.equal(await account.user(), undefined, 'nobody is signed in by the password alone');
  await t.rejects(account.sendCode(asked, '000000'), { code: 'INVALID_SECOND_FACTOR' });
  t.match(await account.sendCode(asked, showCode(secret)), { email: user.email });
  await t.rejects(account.sendCode(asked, showCode(secret, 1)), { code: 'INVALID_CHALLENGE' });
  t.match(await account.profile(), { email: user.email });

  google.setPerson({ ...ADA, sub: user.id, email: user.email });
  await server.database.sql('update users set email_verified_at = now() where id = $1', [user.id]);
  const other = openClient(t, url).account;
  const address = await other.beginSignIn('google', REDIRECT_URI);
  const back = await followSignIn({ url, publicUrl: 'https://tokens.example.com' }, address, REDIRECT_URI);
  const refused = await other.finishSignIn(back).catch((error: unknown) => error);
  if (!hasCode(refused, 'SECOND_FACTOR_REQUIRED')) throw refused;
  t.match(await other.sendCode(refused, recoveryCodes[0] ?? ''), { email: user.email });
  google.setPerson(ADA);
});

t.test('a session ends at the server as well when its access token is over', async (t) => {
  const { storage, user } = await signUp();
  const session = JSON.parse(String(await storage.get('tokenledger.session')));
  await storage.set('tokenledger.session', JSON.stringify({ ...session, token: `${session.token}x`, expiresAt: 0 }));
  await openClient(t, url, { storage }).account.signOut();
  t.strictSame(await server.database.sql('select id from private.sessions where user_id = $1', [user.id]), []);
});

t.test('windows whose tokens end at once refresh them once', async (t) => {
  const { storage, user, wear } = await signUp();
  await wear();
  const network = openNetwork();
  const windows = [1, 2, 3].map(() => openClient(t, url, { storage, network }));
  const profiles = await Promise.all(windows.map(({ account }) => account.profile()));
  t.strictSame(new Set(profiles.map(({ id }) => id)), new Set([user.id]));
  t.equal(network.requests.filter((request) => request === REFRESH).length, 1);
});

t.test('a token that the server ended early is refreshed, and the request sent again', async (t) => {
  const { storage } = await signUp();
  const session = JSON.parse(String(await storage.get('tokenledger.session')));
  await storage.set('tokenledger.session', JSON.stringify({ ...session, token: `${session.token}x` }));
  t.ok(await openClient(t, url, { storage }).account.profile());
});

t.test('a refresh whose answer was lost is made up for, also by the next start', async (t) => {
  const { storage, user, wear } = await signUp();
  const network = openNetwork();
  for (let round = 0; round < 3; round += 1) {
    await wear();
    network.state = 'loses';
    await t.rejects(openClient(t, url, { storage, network }).account.profile(), { code: 'NETWORK_ERROR' });
    network.state = 'works';
    t.match(await openClient(t, url, { storage, network }).account.profile(), { id: user.id });
  }
});

t.test('tokens that cannot be kept are used meanwhile, and the next start still has its session', async (t) => {
  const storage = brittleStorage();
  const { user, wear } = await signUp(storage);
  await wear();
  const client = openClient(t, url, { storage, locks: { request: (_name, work) => work() } });
  storage.isBroken = true;
  t.match(await client.account.profile(), { id: user.id });
  t.match(await client.account.profile(), { id: user.id });
  storage.isBroken = false;
  t.match(await openClient(t, url, { storage }).account.profile(), { id: user.id });
});

t.test('a session that has ended is forgotten in all windows, but not for a server that is down', async (t) => {
  const { storage, user, wear } = await signUp();
  const network = openNetwork();
  const [account, other] = [openClient(t, url, { storage, network }).account, openClient(t, url, { storage }).account];
  await wear();
  network.state = 'is down';
  await t.rejects(account.profile(), { code: 'NETWORK_ERROR' });
  network.state = 'works';
  await server.database.sql('delete from private.sessions where user_id = $1', [user.id]);
  await t.rejects(account.profile(), { code: 'SIGNED_OUT' });
  t.equal(await other.user(), undefined);
});

t.test('a device is linked to the person who signs in, with what it has left', async (t) => {
  const { storage, user } = await signUp();
  const anonymous = memoryStorage();
  const client = openClient(t, url, { storage: anonymous });
  const before = await client.device.register();
  await client.device.log({ model_type: 'gpt-5' });
  await client.account.signIn(user.email, password);
  const after = await client.device.register();
  t.match(after, { device_id: before.device_id, linked: true, remaining: before.remaining - 1 });
  t.match(await client.device.log({ model_type: 'gpt-5' }), { state: 'logged' });
  t.ok(await openClient(t, url, { storage }).account.profile(), 'the other session goes on');
  await server.verifyLedger(t);
});

t.test('Google signs people in, although the worker that began it is gone', async (t) => {
  const storage = memoryStorage();
  const address = await openClient(t, `${url}/api`, { storage }).account.beginSignIn('google', REDIRECT_URI);
  const back = await followSignIn({ url, publicUrl: 'https://tokens.example.com' }, address, REDIRECT_URI);
  const { account } = openClient(t, url, { storage });
  const forged = new URL(back);
  forged.searchParams.set('state', 'of somebody else');
  await t.rejects(account.finishSignIn(forged.href), { code: 'SIGN_IN_FAILED' });
  await t.rejects(account.finishSignIn(undefined), { code: 'SIGN_IN_FAILED' });
  const refused = new URL(REDIRECT_URI);
  const state = String(new URL(address).searchParams.get('state'));
  refused.search = new URLSearchParams({
    error: 'access_denied',
    error_description: 'No new accounts',
    state,
  }).toString();
  await t.rejects(account.finishSignIn(refused.href), { code: 'SIGN_IN_FAILED', message: 'No new accounts' });
  refused.searchParams.set('state', 'of somebody else');
  // Anybody can make a browser open such an address: people are told nothing that stands in it.
  await t.rejects(account.finishSignIn(refused.href), { message: 'The sign-in was not finished' });
  t.match(await account.finishSignIn(back), { email: 'ada@example.com', name: 'Ada Lovelace' });
  await t.rejects(account.finishSignIn(back), { code: 'SIGN_IN_FAILED' }, 'it works once');
});

t.test('an API key opens what a session does', async (t) => {
  const person = await registerUser(server);
  const { key: apiKey } = (
    await person.as('POST', '/api/users/me/api-keys', { name: 'key', scopes: ['account'] })
  ).json();
  const client = openClient(t, url, { apiKey });
  t.match(await client.account.profile(), { id: person.id });
  t.match(await client.device.register(), { linked: true });
});

t.end();
