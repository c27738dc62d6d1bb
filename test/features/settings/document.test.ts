import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient, type Settings } from '../../helpers/settings.js';

const server = await openTestServer(t);

t.test('both routes, both prefixes and both credentials lead to the same document', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  let version = 0;
  for (const token of [user.token, key]) {
    for (const path of PREFIXES.flatMap((prefix) => [`${prefix}/users/me/settings`, `${prefix}/sync/settings`])) {
      const before = await sendWith(server, token, 'GET', path);
      t.match(before.json(), { version });
      t.equal(before.headers.etag, `"${version}"`);
      const settings = { theme: 'dark', path, nested: { list: [1, 2.5, null, { deep: true }] } };
      const written = await sendWith(server, token, 'PUT', path, { settings });
      version += 1;
      t.equal(written.statusCode, 200);
      t.equal(written.headers.etag, `"${version}"`);
      t.match(written.json(), { settings, version, last_synced_at: /^20\d\d-/ });
      t.strictSame((await sendWith(server, token, 'GET', path)).json(), written.json());
    }
  }
});

t.test('before anything was kept the document is empty, and reading makes no row', async (t) => {
  const user = await registerUser(server);
  t.strictSame(await createSettingsClient(user).read(), { settings: {}, version: 0, last_synced_at: null });
  t.strictSame(await server.database.sql('select from settings where user_id = $1', [user.id]), []);
});

t.test('every value comes back as it was', async (t) => {
  const settings = {
    '': undefined,
    null: null,
    toString: 'x',
    'a.b c\nd': '"quoted" \\ text',
    größe: '📏'.repeat(3),
    numbers: [0, -1.5, 1e308, 5e-324, Number.MAX_SAFE_INTEGER],
    empty: [{}, [], ''],
  };
  const { '': __, ...kept } = settings;
  const user = await registerUser(server);
  t.strictSame((await createSettingsClient(user).put(settings)).settings, kept);
  t.strictSame((await createSettingsClient(user).read()).settings, kept);
});

t.test('a stale write is 412 with the document that stands, and changes nothing', async (t) => {
  const user = await registerUser(server);
  const { put, read } = createSettingsClient(user);
  await put({ n: 1 });
  const current = await put({ n: 2 });
  for (const [body, header] of [
    [{ version: 1 }, undefined],
    [{ version: 0 }, undefined],
    [{ version: 3 }, undefined],
    [{}, '"1"'],
    [{}, '"1", "3"'],
    [{}, '"2-other"'],
    [{}, 'garbage'],
    [{ version: 2 }, '"1"'],
    [{ version: 1 }, '"2"'],
  ] as const) {
    const headers = header === undefined ? {} : { 'if-match': header };
    const response = await user.as('PUT', '/api/sync/settings', { settings: { n: 9 }, ...body }, headers);
    t.equal(response.statusCode, 412, `${JSON.stringify(body)} ${header}`);
    t.match(response.json(), { code: 'STALE_VERSION', ...current });
    t.equal(response.headers.etag, '"2"');
  }
  t.strictSame(await read(), current);
});

t.test('a write at the version that stands is taken, however it is said', async (t) => {
  const user = await registerUser(server);
  let version = 0;
  for (const [body, header] of [
    [() => ({ version }), undefined],
    [() => ({}), () => `"${version}"`],
    [() => ({}), () => `W/"${version}"`],
    [() => ({}), () => `"7777", "${version}"`],
    [() => ({}), () => '*'],
    [() => ({ version }), () => `"${version}"`],
    [() => ({}), undefined],
  ] as const) {
    const headers = header === undefined ? {} : { 'if-match': header() };
    const response = await user.as('PUT', '/api/users/me/settings', { settings: { version }, ...body() }, headers);
    t.equal(response.statusCode, 200, response.payload);
    version += 1;
    t.match(response.json(), { version });
  }
});

t.test('a document can be sent back as it was read', async (t) => {
  const user = await registerUser(server);
  const { put, read } = createSettingsClient(user);
  await put({ n: 1 });
  const response = await user.as('PUT', '/api/sync/settings', await read());
  t.match(response.json(), { settings: { n: 1 }, version: 2 });
});

t.test('of 100 parallel writes at the same version one is taken and 99 are told what stands', async (t) => {
  for (const settings of [(n: number) => ({ n }), () => ({ same: true })]) {
    const user = await registerUser(server);
    await createSettingsClient(user).put({ first: true });
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        user.as('PUT', '/api/sync/settings', { settings: settings(n) }, { 'if-match': '"1"' }),
      ),
    );
    const won = answers.filter(({ statusCode }) => statusCode === 200).map((answer) => answer.json<Settings>());
    const lost = answers.filter(({ statusCode }) => statusCode === 412).map((answer) => answer.json<Settings>());
    t.equal(won.length, 1);
    t.equal(lost.length, 99);
    t.ok(
      lost.every(
        ({ version, settings }) => version === 2 && JSON.stringify(settings) === JSON.stringify(won[0]?.settings),
      ),
    );
    t.strictSame(await createSettingsClient(user).read(), won[0]);
  }
});

t.test('100 parallel first writes of nothing over nothing are one version, too', async (t) => {
  const user = await registerUser(server);
  const write = () => user.as('PUT', '/api/sync/settings', { settings: {}, version: 0 });
  const statuses = (await Promise.all(Array.from({ length: 100 }, write))).map(({ statusCode }) => statusCode);
  t.equal(statuses.filter((status) => status === 200).length, 1);
  t.equal(statuses.filter((status) => status === 412).length, 99);
});

t.test('the history is the last 20 versions, and each can be made the next', async (t) => {
  const user = await registerUser(server);
  const { put, push, history, restore, pull } = createSettingsClient(user);
  t.strictSame(await history(), []);
  for (let n = 1; n <= 22; n += 1) await put({ n, ...(n === 5 && { only: 'in the fifth' }) });
  await push({ pushed: { value: true, updated_at: Date.now() } }, 'laptop');
  const versions = await history();
  t.strictSame(
    versions.map(({ version }) => version),
    Array.from({ length: 20 }, (_, n) => 23 - n),
  );
  t.match(versions[0], { settings: { n: 22, pushed: true }, action: 'push', device: 'laptop', created_at: /^20/ });
  t.match(versions.at(-2), { version: 5, settings: { n: 5, only: 'in the fifth' }, action: 'put', device: null });

  t.match(await restore(5), { settings: { n: 5, only: 'in the fifth' }, version: 24 });
  t.match((await history())[0], { version: 24, action: 'restore' });
  const { changes } = await pull(23);
  t.match(changes, { n: { value: 5 }, only: { value: 'in the fifth' }, pushed: { deleted: true } });
  const gone = await user.as('POST', '/api/sync/restore', { version: 4 });
  t.equal(gone.statusCode, 404);
  t.match(gone.json(), { code: 'SETTINGS_VERSION_NOT_FOUND' });
  t.equal((await history()).length, 20);
});

t.test('a document may grow to 256 KiB, by pushes too, and not beyond', async (t) => {
  const user = await registerUser(server);
  const { put, push, read } = createSettingsClient(user);
  const half = 'x'.repeat(131_000);
  await put({ first: half });
  // {"first":"…","second":"…"} is 24 characters and the two texts.
  const room = 256 * 1024 - 131_000 - 24;
  await push({ second: { value: 'y'.repeat(room), updated_at: Date.now() } });
  const full = await read();
  t.equal(Buffer.byteLength(JSON.stringify(full.settings)), 256 * 1024);
  for (const changes of [
    { third: { value: 1, updated_at: Date.now() } },
    { second: { value: 'y'.repeat(room + 1), updated_at: Date.now() } },
  ]) {
    const response = await user.as('POST', '/api/sync/push', { base_version: 0, changes });
    t.equal(response.statusCode, 413);
    t.match(response.json(), { code: 'SETTINGS_TOO_LARGE' });
  }
  t.strictSame(await read(), full, 'nothing changed');
  await push({ first: { deleted: true, updated_at: Date.now() }, third: { value: 1, updated_at: Date.now() } });
  const long = await user.as('PUT', '/api/sync/settings', { settings: { long: 'x'.repeat(256 * 1024) } });
  t.equal(long.statusCode, 413);
  t.match(long.json(), { code: 'PAYLOAD_TOO_LARGE' });
  const many = Object.fromEntries(Array.from({ length: 16_000 }, (_, n) => [`k${n}`, [n, { a: n }]]));
  t.equal((await user.as('PUT', '/api/sync/settings', { settings: many })).statusCode, 413);
  const fewer = Object.fromEntries(Object.entries(many).slice(0, 9_000));
  t.strictSame((await put(fewer)).settings, fewer, 'blanks Postgres adds do not count');
  await server.verifyLedger(t);
});

t.end();
