import { createApiKey, registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openStream, refusedStream } from '../../helpers/http/event-stream.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';
import { untilTrue } from '../../helpers/until.js';
import { hold, recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;
const url = await server.listen();

// Asserted at the end, as a heartbeat takes a while to come.
const idle = await openStream(t, url, (await registerUser(server)).token);

t.test('a stream begins with what stands, and tells of newer settings and of changes of the balance', async (t) => {
  const user = await registerUser(server);
  const other = await registerUser(server);
  const { put, push } = createSettingsClient(user);
  await put({ theme: 'light' });
  const stream = await openStream(t, url, user.token);
  t.match(stream.response.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-request-id': /./,
  });
  await stream.next('settings', { version: 1 });
  await stream.next('balance', { allocated: 1_000_000, used: 0, reserved: 0, remaining: 1_000_000 });
  t.match(stream.received(), /^retry: \d+\n\n/);

  await createSettingsClient(other).put({ foreign: true });
  await push({ theme: { value: 'dark', updated_at: Date.now() } }, 'laptop', 1);
  await stream.next('settings', { version: 2 });
  const admin = await logInAsAdmin(server);
  await admin.as('POST', '/api/admin/allocate', { user_id: user.id, tokens: 500 });
  await stream.next('balance', { allocated: 1_000_500, remaining: 1_000_500 });
  await hold(database, user.id, 40);
  await stream.next('balance', { reserved: 40, remaining: 1_000_460 });
  await recordUses(database, { subject: user.id, user: user.id, count: 1, cost: 60, source: 'chat' });
  await stream.next('balance', { used: 60, remaining: 1_000_400 });
  t.equal(stream.events().length, 6, 'each once, and nothing of others');
  await server.verifyLedger(t);
});

t.test('whoever comes back is told at once what they missed, and nothing they know', async (t) => {
  const user = await registerUser(server);
  const { put } = createSettingsClient(user);
  const first = await openStream(t, url, user.token);
  const { id } = await first.next('balance', { used: 0 });
  first.close();

  const idle = await openStream(t, url, user.token, id);
  await put({ n: 1 });
  await idle.next('settings', { version: 1 });
  t.match(idle.events(), [{ event: 'settings' }], 'nothing it knew came before');
  t.equal(idle.events().length, 1);
  idle.close();

  await put({ n: 2 });
  await put({ n: 3 });
  const settings = await openStream(t, url, user.token, idle.events()[0]?.id);
  const missed = await settings.next('settings', { version: 3 });
  t.equal(settings.events().length, 1, 'the versions between are not told');
  settings.close();

  await recordUses(database, { subject: user.id, user: user.id, count: 1, cost: 5, source: 'chat' });
  const balance = await openStream(t, url, await createApiKey(user), missed.id);
  await balance.next('balance', { used: 5 });
  t.equal(balance.events().length, 1);
  await server.verifyLedger(t);
});

t.test('an id that is none of this server, or of another state, is answered with what stands', async (t) => {
  const user = await registerUser(server);
  for (const id of ['', 'garbage', '1', '1-2-3', '-1-2-3-4', '1-2-3-4-5', "1-2-3-4'", '9'.repeat(900)]) {
    const stream = await openStream(t, url, user.token, id);
    await stream.next('settings', { version: 0 });
    await stream.next('balance', { used: 0 });
    stream.close();
  }
  const ahead = await openStream(t, url, user.token, '9999999999999999-1-1-1');
  await ahead.next('settings', { version: 0 });
});

t.test('a stream ends with the session, the key, the token or the account, and is refused from then on', async (t) => {
  const byToken = (end: string) => async () => {
    const user = await registerUser(server);
    return { user, token: user.token, end: () => database.sql(end, [user.id]) };
  };
  const byKey = (end: string) => async () => {
    const user = await registerUser(server);
    return { user, token: await createApiKey(user), end: () => database.sql(end, [user.id]) };
  };
  const cases = {
    'log-out': async () => {
      const user = await registerUser(server);
      return { user, token: user.token, end: () => user.as('POST', '/api/auth/logout') };
    },
    'account deleted': async () => {
      const user = await registerUser(server);
      return { user, token: user.token, end: () => user.as('DELETE', '/api/users/me') };
    },
    'session expired': byToken('update private.sessions set expires_at = now() where user_id = $1'),
    'key deleted': byKey('delete from private.api_keys where user_id = $1'),
    'key expired': byKey('update private.api_keys set expires_at = now() where user_id = $1'),
    'token over': async () => {
      const user = await registerUser(server);
      const claims = JSON.parse(Buffer.from(user.token.split('.')[1] ?? '', 'base64url').toString());
      const token = server.app.jwt.sign({ aud: 'user', sub: user.id, sid: claims.sid }, { expiresIn: '3s' });
      return { user, token, end: async () => {} };
    },
  };
  for (const [title, open] of Object.entries(cases)) {
    const { token, end } = await open();
    const stayer = await registerUser(server);
    const stream = await openStream(t, url, token);
    const other = await openStream(t, url, stayer.token);
    await stream.next('balance', { used: 0 });
    await end();
    await stream.ended;
    t.ok(stream.response.complete, `${title}: it ends, it does not break`);
    t.ok(other.isOpen(), 'nobody else is cut off');
    t.strictSame(await refusedStream(url, token), { status: 401, code: 'INVALID_TOKEN' }, title);
  }
});

t.test('without a token, or with a wrong one, it is refused before anything is sent', async (t) => {
  const device = await server.registerDevice();
  t.strictSame(await refusedStream(url, 'garbage'), { status: 401, code: 'INVALID_TOKEN' });
  t.strictSame(await refusedStream(url, device.token), { status: 401, code: 'INVALID_TOKEN' });
  t.equal((await server.app.inject({ url: '/api/sync/stream' })).statusCode, 401);
  t.equal((await server.app.inject({ method: 'HEAD', url: '/api/sync/stream' })).statusCode, 405);
});

t.test('an idle stream is kept alive, and told nothing else', async (t) => {
  await untilTrue(() => idle.received().includes('\n\n:\n\n'));
  t.equal(idle.events().length, 2);
});

t.end();
