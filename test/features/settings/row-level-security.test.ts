import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { buildWrites, isRefused, openDatabaseRoles } from '../../helpers/db/database-roles.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';

const server = await openTestServer(t);
const { database } = server;
const { relations, runAs, visible } = await openDatabaseRoles(t, database);
const tables = relations.filter(({ name }) => name.includes('.settings') || name === 'private.future_changes');
const OPEN = ['public.settings', 'public.settings_entries', 'public.settings_versions'];

/** Creates a person with a row in every table of settings, each with their id in it. */
async function openPerson() {
  const user = await registerUser(server);
  const { put, push } = createSettingsClient(user);
  await put({ mine: user.id });
  await push({ [`ahead of ${user.id}`]: { value: user.id, updated_at: Date.now() + 3_600_000 } }, user.id, 1);
  const [session] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [user.id]);
  return { user, claims: { sub: user.id, sid: session?.id ?? '' } };
}

const [ada, bob] = [await openPerson(), await openPerson()];

t.test('each person reads their own rows, and none of the other', async (t) => {
  t.equal(tables.length, 5);
  for (const [me, other] of [
    [ada, bob],
    [bob, ada],
  ] as const) {
    for (const table of tables) {
      const rows = await visible(table, me.claims);
      if (!OPEN.includes(table.name)) {
        t.equal(rows, '42501', `${table.name} is closed`);
        continue;
      }
      t.ok(rows.length > 0 && typeof rows !== 'string', `${table.name} has something own`);
      t.notMatch(JSON.stringify(rows), other.user.id, `${table.name} has nothing foreign`);
    }
  }
});

t.test(
  'nobody reads without a running session: strangers, devices, those who logged out, anonymous callers',
  async (t) => {
    const gone = await openPerson();
    await gone.user.as('POST', '/api/auth/logout');
    const device = await server.registerDevice();
    for (const claims of [
      {},
      gone.claims,
      { sub: ada.user.id, sid: bob.claims.sid },
      { sub: bob.user.id, sid: ada.claims.sid },
      { sub: ada.user.id, sid: randomUUID() },
      { device_id: device.id },
    ]) {
      for (const table of tables.filter(({ name }) => OPEN.includes(name))) {
        t.strictSame(await visible(table, claims), [], `${table.name} for ${JSON.stringify(claims)}`);
      }
    }
    for (const { name } of tables) t.equal(await runAs('anon', {}, `select from ${name}`), '42501', name);
  },
);

t.test('nobody writes past the functions, in any way, not even the server', async (t) => {
  const before = await readChecksums(database);
  for (const role of ['anon', 'authenticated', 'service_role']) {
    const accepted: string[] = [];
    for (const table of tables) {
      for (const statement of buildWrites(table)) {
        if (!isRefused(await runAs(role, ada.claims, statement))) accepted.push(statement);
      }
    }
    t.strictSame(accepted, [], role);
  }
  t.strictSame(await readChecksums(database), before);
});

t.test('what acts for a person may be called by the server only, what reads by the person only', async (t) => {
  const caller = `'{"id": "${bob.user.id}"}'::jsonb`;
  for (const call of [
    `put_settings(${caller}, '{}')`,
    `push_settings(${caller}, 0, '{}')`,
    `restore_settings(${caller}, 1)`,
    `changed_states('[]')`,
  ]) {
    for (const role of ['anon', 'authenticated']) {
      t.equal(await runAs(role, bob.claims, `select public.${call}`), '42501', `${call} as ${role}`);
    }
  }
  for (const call of [
    'my_settings()',
    'my_settings_changes(0)',
    'my_settings_history()',
    'export_settings(9)',
    'export_settings_versions(9)',
  ]) {
    const rows = await runAs('authenticated', bob.claims, `select public.${call}`);
    t.match(JSON.stringify(rows), bob.user.id, call);
    t.notMatch(JSON.stringify(rows), ada.user.id, call);
    t.equal(await runAs('authenticated', { ...bob.claims, sid: ada.claims.sid }, `select public.${call}`), 'PT401');
    t.equal(await runAs('anon', {}, `select public.${call}`), '42501');
  }
});

/** Every request a person can make about settings; all succeed while the session lasts. */
const routes = (prefix: string) =>
  [
    ['GET', `${prefix}/users/me/settings`],
    ['GET', `${prefix}/sync/settings`],
    ['GET', `${prefix}/sync/pull?since=0`],
    ['GET', `${prefix}/sync/history`],
    ['PUT', `${prefix}/sync/settings`, { settings: { mine: true } }],
    ['POST', `${prefix}/sync/push`, { base_version: 0, changes: { mine: { value: 1, updated_at: 1 } } }],
    ['POST', `${prefix}/sync/restore`, { version: 1 }],
  ] as const;

t.test('every route answers the person who asks, and touches nothing of anybody else', async (t) => {
  const readState = (user: TestUser) =>
    database.sql('select * from settings_entries where user_id = $1 order by name', [user.id]);
  const before = await readState(ada.user);
  const key = await createApiKey(bob.user);
  for (const prefix of PREFIXES) {
    for (const [method, url, payload] of routes(prefix)) {
      for (const token of [bob.user.token, key]) {
        const response = await sendWith(server, token, method, url, payload);
        t.equal(response.statusCode, 200, `${method} ${url}`);
        t.notMatch(response.payload, ada.user.id);
      }
    }
  }
  t.strictSame(await readState(ada.user), before);
});

t.test('after the log-out of a session, or the end of a key, every route is 401 at once', async (t) => {
  const { user } = await openPerson();
  const key = await createApiKey(user);
  await database.sql('delete from private.api_keys where user_id = $1', [user.id]);
  await user.as('POST', '/api/auth/logout');
  const before = await readChecksums(database);
  for (const token of [user.token, key, undefined, 'garbage', (await server.registerDevice()).token]) {
    for (const [method, url, payload] of routes('/api')) {
      t.equal((await sendWith(server, token, method, url, payload)).statusCode, 401, `${method} ${url}`);
    }
  }
  const after = await readChecksums(database);
  for (const { name } of tables) t.equal(after[name], before[name], name);
  await server.verifyLedger(t);
});

t.end();
