import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { expectedMigrations, readMigrations } from '../../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { openMigrationFolder } from '../../helpers/db/migration-folder.js';
import { openPgBouncer } from '../../helpers/db/pgbouncer.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { isMissing } from '../../helpers/local-program.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const database = await openTestCluster(t);
const all = await readMigrations();

/** A database of its own in the test's cluster, without a table in it. */
async function emptyDatabase(name: string): Promise<string> {
  await database.sql(`create database ${name} template template0`);
  return database.adminUrl.replace(/\/postgres$/, `/${name}`);
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** What defines a schema: every relation, column, constraint, index, policy, function and privilege in it. */
const SHAPE_SQL = `
  select 'relation' as kind, format('%s %s %s %s', c.oid::regclass, c.relkind, c.relrowsecurity, c.relacl) as what
    from pg_class c where c.relnamespace::regnamespace::text in ('public', 'private', 'auth', 'supabase_migrations')
  union all
  select 'column', format('%s %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                          a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where c.relnamespace::regnamespace::text in ('public', 'private') and c.relkind in ('r', 'p') and a.attnum > 0
  union all
  select 'constraint', format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
   where connamespace::regnamespace::text in ('public', 'private')
  union all
  select 'index', indexdef from pg_indexes where schemaname in ('public', 'private')
  union all
  select 'policy', format('%s', p) from pg_policies p
  union all
  select 'function', format('%s %s', pg_get_functiondef(oid), proacl) from pg_proc
   where pronamespace::regnamespace::text in ('public', 'private', 'auth')
  union all
  select 'trigger', pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
  union all
  select 'default', format('%s %s %s', defaclnamespace::regnamespace, defaclobjtype, defaclacl) from pg_default_acl
   order by 1, 2`;

const createDecoder = (url: string) => query<{ kind: string; what: string }>(url, SHAPE_SQL);

t.test('migrations are named by a UTC timestamp, none shared, and a fresh database gets all of them', async (t) => {
  t.ok(all.length > 0);
  for (const { version, name } of all) {
    t.match(version, /^\d{14}$/);
    t.match(name, /^[a-z][a-z_]*$/);
  }
  t.equal(new Set(all.map(({ version }) => version)).size, all.length);
  const versions = all.map(({ version }) => version);
  t.strictSame(versions, versions.toSorted());
  t.strictSame(await migrate(await emptyDatabase('fresh')), versions);
  t.strictSame(await expectedMigrations(), all);
});

t.test('a user who may not make roles and schemas is told so in a sentence', async (t) => {
  const url = new URL(await emptyDatabase('unprivileged'));
  await database.sql(`create role tenant login password 'tenant'`);
  [url.username, url.password] = ['tenant', 'tenant'];
  await t.rejects(migrate(url.href), {
    name: 'StartupError',
    message: /^The user of DATABASE_URL may not make the roles and schemas .*permission denied/,
  });
});

t.test('a second run applies nothing and changes nothing', async (t) => {
  const before = await createDecoder(database.adminUrl);
  t.ok(before.length > 100);
  t.strictSame(await migrate(database.adminUrl), []);
  t.strictSame(await createDecoder(database.adminUrl), before);
});

t.test('only what is missing is applied', async (t) => {
  const url = await emptyDatabase('behind');
  await migrate(url);
  const newest = all.at(-1)?.version ?? '';
  await query(url, `delete from supabase_migrations.schema_migrations where version = '${newest}'`);
  t.strictSame(await migrate(url), [newest]);
  const rows = await query<{ version: string; name: string }>(
    url,
    'select version, name from supabase_migrations.schema_migrations order by version',
  );
  t.strictSame(
    rows,
    all.map(({ version, name }) => ({ version, name })),
  );

  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'next', 'create table private.next (id integer);');
  await folder.add('20990101000001', 'after_next', 'create table private.after_next (id integer);');
  t.strictSame(await migrate(url, folder.directory), ['20990101000000', '20990101000001']);
  t.strictSame(await migrate(url, folder.directory), []);
});

t.test('what applied a migration does not matter: its text is noted in the same words', async (t) => {
  const url = await emptyDatabase('by_hand');
  await query(url, await readFile(join(PROJECT_ROOT, 'supabase', 'platform.sql'), 'utf8'));
  // As `supabase db push` does it.
  for (const { version, name, sql } of all) {
    await query(url, sql);
    await query(
      url,
      `insert into supabase_migrations.schema_migrations (version, name, statements) values ('${version}', '${name}', '{}')`,
    );
  }
  const expected = all.map(({ version, sha256 }) => ({ version, sha256 }));
  t.strictSame(await query(url, 'select * from public.applied_migrations()'), expected);
  t.strictSame(await query(database.adminUrl, 'select * from public.applied_migrations()'), expected);
  t.strictSame(await migrate(url), []);
});

t.test('runs at the same time do not collide: each migration is applied by exactly one', async (t) => {
  const url = await emptyDatabase('contested');
  const applied = await Promise.all([migrate(url), migrate(url), migrate(url), migrate(url)]);
  t.strictSame(
    applied.flat().sort(),
    all.map(({ version }) => version),
  );
});

t.test(
  'through a pooler in transaction mode it leaves no lock behind',
  { skip: isMissing('pgbouncer', '--version') },
  async (t) => {
    const url = await emptyDatabase('pooled');
    t.equal((await migrate(await openPgBouncer(t, url))).length, all.length);
    t.strictSame(await query(url, `select pid from pg_locks where locktype = 'advisory'`), []);
    t.strictSame(await migrate(url), []);
  },
);

t.test('every migration is safe to run twice: the second run changes nothing', async (t) => {
  const url = await emptyDatabase('twice');
  await query(url, await readFile(join(PROJECT_ROOT, 'supabase', 'platform.sql'), 'utf8'));
  for (const { version, name, sql } of all) {
    await query(url, sql);
    const before = await createDecoder(url);
    await t.resolves(query(url, sql), `${version}_${name}`);
    t.strictSame(await createDecoder(url), before, `${version}_${name} again`);
  }
});

t.test('a second run of every migration leaves the data as it is', async (t) => {
  const url = await emptyDatabase('filled');
  await migrate(url);
  await query(url, `select public.register_device('Laptop', 'fingerprint-of-a-laptop', 50)`);
  await query(url, `update public.model_costs set cost = 9 where model = 'claude-opus-4.5'`);
  const rows = () =>
    query(
      url,
      `select (select json_agg(d) from public.devices d) as devices, (select json_agg(b) from public.balances b) as balances,
              (select json_agg(l) from public.ledger_entries l) as entries,
              (select json_agg(m) from public.model_costs m where model = 'claude-opus-4.5') as costs`,
    );
  const before = await rows();
  t.match(before, [{ devices: [{ name: 'Laptop' }], balances: [{ allocated: 50 }], costs: [{ cost: 9 }] }]);
  for (const { sql } of all) await query(url, sql);
  t.strictSame(await rows(), before);
});

t.test('a migration that fails leaves nothing of itself, is named, and the next run goes on from there', async (t) => {
  const url = await emptyDatabase('obstructed');
  await query(url, 'create schema private; create view private.admins as select 1 as id');
  await t.rejects(migrate(url), { message: /^migration \d{14}_[a-z_]+ failed$/ });
  t.strictSame(
    await query(
      url,
      `select to_regclass('public.users') as users, to_regclass('supabase_migrations.schema_migrations') as m`,
    ),
    [{ users: null, m: null }],
  );
  await query(url, 'drop view private.admins');
  t.equal((await migrate(url)).length, all.length);

  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'first', 'create table private.first (id integer);');
  await folder.add(
    '20990101000001',
    'second',
    'create table private.half (id integer); create table private.wall (id integer);',
  );
  await folder.add('20990101000002', 'third', 'create table private.third (id integer);');
  await query(url, 'create table private.wall (id text)');
  await t.rejects(migrate(url, folder.directory), { message: 'migration 20990101000001_second failed' });
  const made = () =>
    query(
      url,
      `select to_regclass('private.first') as first, to_regclass('private.half') as half, to_regclass('private.third') as third`,
    );
  t.strictSame(await made(), [{ first: 'private.first', half: null, third: null }]);
  await query(url, 'drop table private.wall');
  t.strictSame(await migrate(url, folder.directory), ['20990101000001', '20990101000002']);
  t.strictSame(await made(), [{ first: 'private.first', half: 'private.half', third: 'private.third' }]);
});

t.test('a migration that waits for a reader keeps nobody waiting behind it, and says whom it waits for', async (t) => {
  const url = await emptyDatabase('read');
  await migrate(url);
  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'next', 'alter table public.devices add column extra integer;');
  const reader = new pg.Client({ connectionString: url, application_name: 'somebody who reads' });
  await reader.connect();
  t.after(() => reader.end());
  await reader.query('begin; select from public.devices');

  await t.rejects(migrate(url, folder.directory, undefined, { patienceMs: 0 }), {
    name: 'StartupError',
    message: /^A migration waits for a session .*\(pid \d+, "somebody who reads"\); it was given up and left nothing/,
  });

  const told: string[] = [];
  const migrating = migrate(url, folder.directory, undefined, { onWait: (sentence) => told.push(sentence) });
  await untilTrue(async () => (await query(url, 'select from pg_locks where not granted')).length === 1);
  t.strictSame(await query(`${url}?options=-c%20statement_timeout%3D20s`, 'select id from public.devices'), []);
  await untilTrue(() => told.length > 0);
  t.match(told[0], /"somebody who reads"\); trying again in 1 s$/);
  await reader.query('commit');
  t.strictSame(await migrating, ['20990101000000']);
});

t.test('a connection that breaks under a migration is an error, and the next run goes on', async (t) => {
  const url = await emptyDatabase('broken_off');
  await migrate(url);
  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'next', 'create table private.next (id integer); select pg_sleep(600);');
  const migrating = migrate(url, folder.directory);
  const end = `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = 'broken_off'`;
  await untilTrue(async () => (await query(url, end)).length === 1);
  await t.rejects(migrating, { message: 'migration 20990101000000_next failed', cause: { code: '57P01' } });
  await folder.add('20990101000000', 'next', 'create table private.next (id integer);');
  t.strictSame(await migrate(url, folder.directory), ['20990101000000']);
});

t.end();
