import { randomUUID } from 'node:crypto';
import pg from 'pg';
import t from 'tap';
import { checksumsOf } from '../helpers/bad-input.js';
import { openTestServer } from '../helpers/test-server.js';

const server = await openTestServer(t);
const { sql } = server.database;
const client = new pg.Client({ connectionString: server.database.adminUrl });
await client.connect();
t.after(() => client.end());

type Claims = Readonly<Record<string, string>>;

/** Runs one statement as an API role with claims, and takes it back. Answers its rows, or its SQLSTATE. */
async function runAs(role: string, claims: Claims, statement: string): Promise<Record<string, unknown>[] | string> {
  await client.query('begin');
  try {
    await client.query(`set local role ${role}`);
    await client.query(`select set_config('request.jwt.claims', $1, true)`, [JSON.stringify({ role, ...claims })]);
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code !== undefined) return error.code;
    throw error;
  } finally {
    await client.query('rollback');
  }
}

interface Relation {
  readonly name: string;
  readonly columns: string[];
}

/** Every table, partition and view of a schema of ours. */
const relations = await sql<Relation & pg.QueryResultRow>(`
  select format('%I.%I', n.nspname, c.relname) as name,
         (select array_agg(quote_ident(a.attname)::text order by a.attnum) from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname in ('public', 'private')
   order by 1`);

/** What each of a relation's rows would say to whoever may read all columns granted to `authenticated`. */
async function visible(relation: Relation, claims: Claims): Promise<string[] | string> {
  const granted = await sql<{ name: string }>(
    `select c as name from unnest($2::text[]) c where has_column_privilege('authenticated', $1::regclass, trim('"' from c), 'select')`,
    [relation.name, relation.columns],
  );
  const columns = granted.map(({ name }) => name).join(', ') || '*';
  const rows = await runAs('authenticated', claims, `select ${columns} from ${relation.name}`);
  return typeof rows === 'string' ? rows : rows.map((row) => JSON.stringify(row));
}

function writesOf({ name, columns }: Relation): string[] {
  const updates = columns.map((column) => `update ${name} set ${column} = ${column}`);
  return [`insert into ${name} default values`, ...updates, `delete from ${name}`, `truncate ${name}`];
}

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
  { who: 'a device', claims: { device_id: one.id }, own: [one.id], tables: OWN_TABLES },
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
  for (const claims of [{}, { sub: randomUUID() }, { device_id: randomUUID() }]) {
    for (const relation of relations) {
      const rows = await visible(relation, claims);
      t.ok(rows === '42501' || rows.length === 0, `${relation.name} shows nothing`);
    }
  }
});

/**
 * Refused for want of a privilege, or before privileges are looked at: a view that cannot be written (55000),
 * a generated id (428C9), a trigger's function (0A000), a view truncated (42809).
 */
function isRefused(outcome: unknown): boolean {
  return (
    outcome === '42501' || outcome === '55000' || outcome === '428C9' || outcome === '0A000' || outcome === '42809'
  );
}

t.test('no API role may write any table, partition or view, whatever its claims', async (t) => {
  const before = await checksumsOf(server.database);
  t.ok(relations.length > 12, 'the partitions are among them');
  for (const role of ['anon', 'authenticated', 'service_role']) {
    const accepted: string[] = [];
    for (const relation of relations) {
      for (const statement of writesOf(relation)) {
        const outcome = await runAs(role, { sub: users[0], device_id: one.id }, statement);
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
  t.strictSame(await checksumsOf(server.database), before);
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

t.test('the schema of secrets is open to no API role', async (t) => {
  const roles = await sql<{ role: string; allowed: boolean }>(
    `select r as role, has_schema_privilege(r, 'private', 'usage') or has_schema_privilege(r, 'private', 'create')
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
