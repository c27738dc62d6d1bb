import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';

const server = await openTestServer(t);
const HOUR_MS = 60 * 60 * 1_000;
const now = Date.now();

const openSettings = async () => createSettingsClient(await registerUser(server));
const set = (value: unknown, updated_at: number) => ({ value, updated_at });
const remove = (updated_at: number) => ({ deleted: true, updated_at }) as const;

t.test('two browsers that change different settings lose nothing', async (t) => {
  const { put, push, read } = await openSettings();
  await put({ theme: 'light', size: 1, old: true });
  const first = await push({ theme: set('dark', Date.now() + 1) }, 'a', 1);
  t.match(first, { settings: { theme: 'dark', size: 1, old: true }, version: 2, overruled: {} });
  const second = await push({ size: set(2, Date.now() + 1), old: remove(Date.now() + 1) }, 'b', 1);
  t.strictSame(second.settings, { theme: 'dark', size: 2 });
  t.strictSame(second.overruled, {});
  t.strictSame((await read()).settings, second.settings);
});

t.test('the newest change of a setting wins, and who is overruled is told by what', async (t) => {
  const { push } = await openSettings();
  await push({ a: set('new', now - 1_000), b: remove(now - 1_000) }, 'phone');
  const { settings, version, overruled } = await push({ a: set('old', now - 2_000), b: set('old', now - 2_000) }, 'pc');
  t.strictSame(settings, { a: 'new' });
  t.equal(version, 1, 'nothing changed');
  t.strictSame(overruled, {
    a: { value: 'new', updated_at: now - 1_000, device: 'phone', version: 1 },
    b: { deleted: true, updated_at: now - 1_000, device: 'phone', version: 1 },
  });
  t.match(await push({ a: remove(now - 500) }, 'pc'), { settings: {}, overruled: {} });
});

t.test('at the same time the greater device wins, then the greater value, in whatever order they come', async (t) => {
  const changes = [
    ['a', set(1, now)],
    ['b', set(1, now)],
    ['b', set(2, now)],
    ['b', remove(now)],
    [undefined, set(9, now)],
  ] as const;
  for (const order of [changes, changes.toReversed(), [...changes.slice(2), ...changes.slice(0, 2)]]) {
    const { push, pull } = await openSettings();
    for (const [device, change] of order) await push({ k: change }, device);
    t.match((await pull()).changes, { k: { value: 2, device: 'b', updated_at: now } });
  }
});

t.test('a push sent again changes nothing and overrules nobody', async (t) => {
  const { push, pull } = await openSettings();
  const changes = { a: set(1, now - 10), b: remove(now - 10), c: set(null, now + HOUR_MS) };
  const first = await push(changes, 'a');
  const again = await push(changes, 'a');
  t.strictSame(again, first);
  t.strictSame(again.overruled, {});
  t.equal((await pull()).version, 1);
});

t.test(
  'a whole document wins against every change made before it, of settings it has and of those it lacks',
  async (t) => {
    const { put, push } = await openSettings();
    await push(
      { kept: set('pushed', now - HOUR_MS), gone: set('pushed', now + HOUR_MS), same: set(1, now - HOUR_MS) },
      'z',
    );
    const replaced = await put({ kept: 'put', same: 1 });
    t.strictSame(replaced.settings, { kept: 'put', same: 1 });
    const changes = { kept: set('older', now), gone: set('older', now), same: set(2, now) };
    const { settings, overruled } = await push(changes, 'z');
    t.strictSame(settings, replaced.settings);
    t.match(overruled, { kept: { value: 'put' }, gone: { deleted: true }, same: { value: 1 } });
    t.match(
      (await push({ unheard: set('of before', now) }, 'z')).settings,
      { unheard: 'of before' },
      'nothing else is lost',
    );
    t.match((await push({ kept: set('newer', Date.now() + 1) }, 'a')).settings, { kept: 'newer' });
  },
);

t.test('a pull answers only what changed after the version, deletions included', async (t) => {
  const { put, push, pull } = await openSettings();
  t.strictSame(await pull(), { version: 0, last_synced_at: null, full: true, changes: {} });
  await put({ a: 1, b: 1, c: 1 });
  await push({ a: set(2, Date.now()) }, 'x');
  await push({ b: remove(Date.now()) }, 'y');
  t.match(await pull(1), {
    version: 3,
    full: false,
    changes: { a: { value: 2, device: 'x', version: 2 }, b: { deleted: true, device: 'y', version: 3 } },
  });
  t.strictSame(Object.keys((await pull(2)).changes), ['b']);
  t.strictSame((await pull(3)).changes, {});
  t.strictSame(Object.keys((await pull(0)).changes).sort(), ['a', 'b', 'c']);
  await put({ a: 2, c: 3 });
  t.strictSame(Object.keys((await pull(3)).changes), ['c'], 'what was set to the same value has not changed');
  t.match(await pull(99), { full: true, version: 4 }, 'a version there never was');
});

t.test('of more than 1,000 deletions the oldest are forgotten, without bringing anything back', async (t) => {
  const user = await registerUser(server);
  const { put, push, pull } = createSettingsClient(user);
  const many = (count: number, from = 0) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${from + n}`, n]));
  await put(many(600));
  await put({});
  t.match(await pull(1), { full: false, version: 2 });
  await put(many(900, 600));
  await put({ last: 1 });
  const [row] = await server.database.sql<{ count: number }>(
    'select count(*)::integer from settings_entries where user_id = $1 and deleted',
    [user.id],
  );
  t.equal(row?.count, 1_000);
  t.match(await pull(1), { full: true, version: 4 }, 'who may have missed a deletion reads everything');
  t.match(await pull(3), { full: false });
  const ancient = { ...Object.fromEntries(Object.keys(many(600)).map((name) => [name, set('old', now - HOUR_MS)])) };
  const { settings, overruled } = await push(ancient, 'offline', 1);
  t.strictSame(settings, { last: 1 });
  t.equal(Object.keys(overruled).length, 600);
  t.ok(Object.values(overruled).every(({ deleted }) => deleted === true));
  t.match(
    (await push({ k599: set('again', now - HOUR_MS) }, 'slow', 4)).settings,
    { k599: 'again' },
    'who knows of it may',
  );
});

t.test('thousands of settings are set, pushed and deleted at once', async (t) => {
  const { put, push, pull } = await openSettings();
  const names = Array.from({ length: 5_000 }, (_, n) => `k${n}`);
  await put(Object.fromEntries(names.map((name) => [name, 1])));
  const ahead = Date.now() + HOUR_MS;
  for (let round = 0; round < 2; round += 1) {
    const { settings } = await push(Object.fromEntries(names.map((name) => [name, set(2, ahead)])), 'fast', 1);
    t.ok(names.every((name) => settings[name] === 2));
  }
  t.strictSame((await put({})).settings, {});
  t.equal(Object.keys((await pull(1)).changes).length, 1_000);
});

t.test('while an account is deleted its settings are written or refused, and none stay', async (t) => {
  const user = await registerUser(server);
  const changes = { a: { value: 1, updated_at: now + HOUR_MS } };
  const write = () => [
    user.as('POST', '/api/sync/push', { base_version: 0, changes }),
    user.as('PUT', '/api/sync/settings', { settings: { b: 1 } }),
  ];
  const before = Array.from({ length: 10 }, write).flat();
  const deletion = user.as('DELETE', '/api/users/me');
  const answers = await Promise.all([...before, deletion, ...Array.from({ length: 10 }, write).flat()]);
  t.ok(answers.every(({ statusCode }) => [200, 401].includes(statusCode)));
  for (const table of ['settings', 'settings_entries', 'settings_versions', 'private.future_changes']) {
    t.strictSame(await server.database.sql(`select from ${table} where user_id = $1`, [user.id]), [], table);
  }
  await server.verifyLedger(t);
});

t.test('parallel pushes of many devices all count', async (t) => {
  const { push, read } = await openSettings();
  const pushes = Array.from({ length: 60 }, (_, n) =>
    push({ [`own${n}`]: set(n, now), shared: set(n, now - 1_000 + n) }, `device${n}`),
  );
  await Promise.all(pushes);
  const { settings } = await read();
  t.equal(Object.keys(settings).length, 61);
  t.equal(settings['shared'], 59);
  await server.verifyLedger(t);
});

t.end();
