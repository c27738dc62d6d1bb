import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { type Claims, openDatabaseRoles } from '../../helpers/db/database-roles.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;

const { runAs } = await openDatabaseRoles(t, database);

async function readModels(claims: Claims): Promise<unknown> {
  const rows = await runAs('authenticated', claims, 'select model from usage_events order by model');
  return typeof rows === 'string' ? rows : rows.map(({ model }) => model);
}

const [ada, bob] = [await registerUser(server), await registerUser(server)];
const [laptop, sold] = [await server.registerDevice(), await server.registerDevice()];
const record = (subject: string, user: TestUser | undefined, model: string) =>
  recordUses(database, { subject, ...(user && { user: user.id }), count: 1, model });
await record(ada.id, ada, 'ada herself');
await record(bob.id, bob, 'bob himself');
await record(laptop.id, undefined, "ada's laptop before it was linked");
await record(laptop.id, ada, "ada's laptop");
await record(sold.id, ada, 'a device ada has sold to bob');
await record(sold.id, bob, 'a device bob has bought from ada');
await database.sql('update devices set user_id = $2 where id = $1', [laptop.id, ada.id]);
await database.sql('update devices set user_id = $2 where id = $1', [sold.id, bob.id]);

t.test(
  "a person reads their own events, also of a device that is another's now, and nothing in the name of others",
  async (t) => {
    t.strictSame(await readModels({ sub: ada.id }), [
      'a device ada has sold to bob',
      'ada herself',
      "ada's laptop",
      "ada's laptop before it was linked",
    ]);
    t.strictSame(await readModels({ sub: bob.id }), ['a device bob has bought from ada', 'bob himself']);
  },
);

t.test('a device reads what it did, whoever it belongs to', async (t) => {
  t.strictSame(await readModels({ device_id: sold.id, device_version: '1' }), [
    'a device ada has sold to bob',
    'a device bob has bought from ada',
  ]);
});

const OWN_READS = [
  'my_balance()',
  'my_ledger(50)',
  'my_devices(50)',
  'export_ledger_entries(50)',
  'export_reservations(50)',
  'export_usage_events(50)',
];

t.test('the functions that read answer a person, and nobody without a running session', async (t) => {
  const [session] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [ada.id]);
  const sid = session?.id ?? '';
  for (const call of OWN_READS) {
    const statement = `select public.${call}`;
    t.type(await runAs('authenticated', { sub: ada.id, sid }, statement), Array, call);
    for (const claims of [{}, { sub: bob.id, sid }, { sub: sid }, { device_id: laptop.id, device_version: '1' }]) {
      t.equal(await runAs('authenticated', claims, statement), 'PT401', `${call} for ${JSON.stringify(claims)}`);
    }
    t.equal(await runAs('anon', {}, statement), '42501');
  }
  await ada.as('POST', '/api/auth/logout');
  for (const call of OWN_READS) {
    t.equal(await runAs('authenticated', { sub: ada.id, sid }, `select public.${call}`), 'PT401', `${call} after it`);
  }
});

t.test('what acts for a person may be called by the server only', async (t) => {
  const caller = `'{"id": "${bob.id}"}'::jsonb`;
  const calls = [
    `get_profile(${caller})`,
    `update_profile(${caller}, '{"name": "x"}')`,
    `begin_password_change(${caller})`,
    `change_password(${caller}, 'x')`,
    `delete_account(${caller})`,
    `unlink_device(${caller}, '${sold.id}')`,
    `export_account(${caller})`,
    `register_device('x', 'x', 1, ${caller})`,
  ];
  for (const call of calls) {
    for (const role of ['anon', 'authenticated']) {
      t.equal(await runAs(role, { sub: bob.id }, `select public.${call}`), '42501', `${call} as ${role}`);
    }
  }
});

t.end();
