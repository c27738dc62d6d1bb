import { randomUUID } from 'node:crypto';
import { buildWrites, isRefused, openDatabaseRoles } from '../helpers/db/database-roles.js';
import { readChecksums } from '../helpers/http/bad-input.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;
const { relations, runAs, visible } = await openDatabaseRoles(t, server.database);

// Two users with a device each, and a device of nobody; each with rows wherever a device leaves some.
const users = [randomUUID(), randomUUID()] as const;
for (const id of users) await sql('insert into users (id, email) values ($1, $2)', [id, `${id}@example.org`]);
const [one, other, third] = [
  await server.registerDevice(),
  await server.registerDevice(),
  await server.registerDevice(),
];
await sql('update devices set user_id = $2 where id = $1', [one.id, users[0]]);
await sql('update devices set user_id = $2 where id = $1', [other.id, users[1]]);
for (const device of [one, other, third]) {
  const use = { model_type: 'gpt-5' };
  await server.as(device, 'POST', '/api/usage/log', { ...use, event_id: 'logged' });
  await server.as(device, 'POST', '/api/devices/check-can-use', { ...use, reserve: true });
}
const OWN_TABLES = ['balances', 'devices', 'ledger_entries', 'reservations', 'usage_events', 'usage_rollups'];

const readers = [
  { who: 'a device', claims: { device_id: one.id, device_version: '1' }, own: [one.id], tables: OWN_TABLES },
  { who: 'a user', claims: { sub: users[0] }, own: [one.id, users[0]], tables: [...OWN_TABLES, 'users'] },
];
for (const { who, claims, own, tables } of readers) {
  t.test(`${who} reads its own rows of every table that has some, and nobody else's of any`, async (t) => {
    const foreign = [...users, one.id, other.id, third.id].filter((id) => !own.includes(id));
    // The link to its user is part of a device's own row.
    const strangers = foreign.filter((id) => id !== users[0]);
    const seen: string[] = [];
    for (const relation of relations) {
      const rows = await visible(relation, claims);
      if (typeof rows === 'string') {
        t.equal(rows, '42501', `${relation.name} is closed`);
        continue;
      }
      t.notOk(
        rows.some((row) => strangers.some((id) => row.includes(id))),
        `${relation.name} shows nothing foreign`,
      );
      t.ok(
        rows.every((row) => own.some((id) => row.includes(id))),
        `every row of ${relation.name} is its own`,
      );
      if (rows.length > 0) seen.push(relation.name.replace('public.', ''));
    }
    t.strictSame(seen.sort(), [...tables].sort(), 'its own rows are there');
  });
}

t.test('claims that name nobody, or somebody unknown, read nothing', async (t) => {
  const strangers = [
    {},
    { sub: randomUUID() },
    { device_id: randomUUID(), device_version: '1' },
    { device_id: one.id },
    { device_id: one.id, device_version: '2' },
  ];
  for (const claims of strangers) {
    for (const relation of relations) {
      const rows = await visible(relation, claims);
      t.ok(rows === '42501' || rows.length === 0, `${relation.name} shows nothing`);
    }
  }
});

t.test('no API role may write any table, partition or view, whatever its claims', async (t) => {
  const before = await readChecksums(server.database);
  t.ok(relations.length > 12, 'the partitions are among them');
  for (const role of ['anon', 'authenticated', 'service_role']) {
    const accepted: string[] = [];
    for (const relation of relations) {
      for (const statement of buildWrites(relation)) {
        const outcome = await runAs(role, { sub: users[0], device_id: one.id, device_version: '1' }, statement);
        if (!isRefused(outcome)) accepted.push(`${statement}: ${JSON.stringify(outcome)}`);
      }
      const [grants] = await sql<{ any: boolean }>(
        `select has_table_privilege($1, $2, 'insert, update, delete, truncate, references, trigger') as any`,
        [role, relation.name],
      );
      if (grants?.any !== false) accepted.push(`${relation.name} is granted to ${role}`);
    }
    t.strictSame(accepted, [], role);
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('anon reads no table and executes no function', async (t) => {
  const allowed: string[] = [];
  for (const { name } of relations) {
    const outcome = await runAs('anon', {}, `select count(*) from ${name}`);
    if (outcome !== '42501') allowed.push(name);
  }
  const functions = await sql<{ call: string; allowed: boolean }>(`
    select format('select %I.%I(%s)', n.nspname, p.proname,
                  (select string_agg('null::' || format_type(a, null), ', ') from unnest(p.proargtypes) a)) as call,
           has_function_privilege('anon', p.oid, 'execute') as allowed
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('public', 'private')
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')`);
  t.ok(functions.length > 5, 'functions were found');
  for (const { call, allowed: granted } of functions) {
    const outcome = await runAs('anon', {}, call);
    if (granted || !isRefused(outcome)) allowed.push(`${call}: ${JSON.stringify(outcome)}`);
  }
  t.strictSame(allowed, []);
  await server.verifyLedger(t);
});

t.test('secrets and the views of the contracts are in schemas open to no API role', async (t) => {
  const roles = await sql<{ role: string; allowed: boolean }>(
    `select r as role, has_schema_privilege(r, 'private', 'usage, create')
              or has_schema_privilege(r, 'contracts', 'usage, create')
              or has_schema_privilege(r, 'public', 'create') as allowed
       from unnest(array['anon', 'authenticated', 'service_role', 'authenticator']) r`,
  );
  t.equal(roles.length, 4);
  t.strictSame(
    roles.filter(({ allowed }) => allowed),
    [],
  );
});

t.end();
