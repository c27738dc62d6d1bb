import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { createDeclaredDatabase, createMigratedDatabase } from '../../scripts/database/databases.js';
import { describeSchema } from '../../scripts/database/describe-schema.js';
import { compareDatabases, renderDifference } from '../../scripts/database/differences.js';
import { generateTypes, TYPES_FILE } from '../../scripts/database/generate-types.js';
import { readSchemaFiles } from '../../scripts/database/schema-files.js';
import { renderSchemaSql, SCHEMA_FILE } from '../../scripts/database/schema-sql.js';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { openMigrationFolder } from '../helpers/db/migration-folder.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

const database = await openTestCluster(t);
const schema = await readFile(SCHEMA_FILE, 'utf8');

/** Runs SQL in one of the cluster's databases. */
async function run(databaseName: string, sql: string): Promise<void> {
  const url = new URL(database.adminUrl);
  url.pathname = databaseName;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A database with what Supabase brings, and nothing of ours. */
async function openBareDatabase(name: string): Promise<string> {
  await database.sql(`create database ${name}`);
  await run(name, await readFile(join(PROJECT_ROOT, 'supabase/platform.sql'), 'utf8'));
  const url = new URL(database.adminUrl);
  url.pathname = name;
  return url.href;
}

t.test('supabase/schema.sql is what "npm run schema" writes', async (t) => {
  const rendered = renderSchemaSql(await readSchemaFiles(SUPABASE_DIRECTORY), await readMigrations());
  t.equal(schema, rendered, 'run "npm run schema" where it differs');
});

t.test('a database made by migrations/ equals one made by schemas/, rows included', async (t) => {
  const migrated = await createMigratedDatabase(database.adminUrl, 'migrated', SUPABASE_DIRECTORY);
  const declared = await createDeclaredDatabase(database.adminUrl, 'declared', SUPABASE_DIRECTORY);
  const differences = await compareDatabases(migrated, declared);
  t.strictSame(differences.flatMap(renderDifference), [], 'run "npm run migration -- <name>" where they differ');
  t.ok((await describeSchema(declared)).length > 200, 'the description covers the schema');
});

t.test('what was changed in schemas/ only is a difference', async (t) => {
  const folder = await openMigrationFolder(t);
  const change = async (path: string, from: string, to: string) => {
    const text = await folder.read(path);
    t.ok(text.includes(from), `${path} has ${from}`);
    await folder.write(path, text.replace(from, to));
  };
  await change('schemas/ledger/functions/balance_json.sql', "'allocated'", "'granted'");
  await change('schemas/ledger/policies.sql', 'public.current_user_id()', 'auth.uid()');
  await change('schemas/admin/views.sql', 'd.blocked, ', 'not d.blocked as blocked, ');
  await change('schemas/devices/tables.sql', '  constraint devices_', '  color text,\n  constraint devices_');
  await change(
    'schemas/ledger/triggers.sql',
    'before update on public.balances',
    'before insert or update on public.balances',
  );
  await change('schemas/accounts/policies.sql', 'to authenticated', 'to authenticated, service_role');
  await change('schemas/metering/data.sql', "('claude-opus-4.5', 3)", "('claude-opus-4.5', 4)");
  await change('schemas/users/functions/get_profile.sql', 'to service_role', 'to service_role, authenticated');
  const migrated = await createMigratedDatabase(database.adminUrl, 'unchanged', folder.directory);
  const declared = await createDeclaredDatabase(database.adminUrl, 'changed', folder.directory);
  const found = (await compareDatabases(migrated, declared)).map(({ kind, name }) => `${kind} ${name}`);
  t.strictSame(found, [
    'column public.devices.color',
    'function private.balance_json(p_subject_id uuid)',
    'function public.get_profile(p_caller jsonb)',
    'policy balances_read_own on public.balances',
    'row public.model_costs {"cost": 3, "model": "claude-opus-4.5"}',
    'row public.model_costs {"cost": 4, "model": "claude-opus-4.5"}',
    'table public.users',
    'trigger balances_pay_debt on public.balances',
    'view public.device_overview',
  ]);
});

t.test('a function whose body is not valid is named, and a file no pattern names is not forgotten', async (t) => {
  const folder = await openMigrationFolder(t);
  const path = 'schemas/ledger/functions/balance_json.sql';
  await folder.write(path, (await folder.read(path)).replace('b.allocated,', 'b.never_there,'));
  await t.rejects(createDeclaredDatabase(database.adminUrl, 'invalid', folder.directory), {
    name: 'StartupError',
    message: /^supabase\/schemas is not valid: private\.balance_json\(uuid\): .*never_there/,
  });
  await folder.write('schemas/ledger/indexes.sql', '');
  await t.rejects(readSchemaFiles(folder.directory), { message: /names no pattern for schemas\/ledger\/indexes\.sql/ });
});

t.test('pasting schema.sql once or twice makes the same schema as the migrations', async (t) => {
  const pasted = await openBareDatabase('pasted');
  // Made just now, as the first partitions depend on the month.
  const expected = await describeSchema(
    await createMigratedDatabase(database.adminUrl, 'expected', SUPABASE_DIRECTORY),
  );
  t.ok(expected.length > 200, 'the description covers the schema');

  await run('pasted', schema);
  t.strictSame(await describeSchema(pasted), expected, 'pasted once');
  await run('pasted', schema);
  t.strictSame(await describeSchema(pasted), expected, 'pasted twice');
});

t.test('migrating after schema.sql was pasted finds nothing to do', async (t) => {
  const url = await openBareDatabase('pasted_then_migrated');
  await run('pasted_then_migrated', schema);
  t.strictSame(await migrate(url), []);
});

t.test('a paste that fails half-way leaves nothing behind', async (t) => {
  const url = await openBareDatabase('pasted_badly');
  const before = await describeSchema(url);
  const broken = schema.replace(/\ncommit;\n/, '\nselect 1 / 0;\ncommit;\n');
  t.not(broken, schema);
  await t.rejects(run('pasted_badly', broken), { code: '22012' });
  t.strictSame(await describeSchema(url), before);
});

t.test('schema.sql refuses a database of another version, as it would leave its tables as they are', async (t) => {
  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'next', 'create table private.next (id integer);');
  await createMigratedDatabase(database.adminUrl, 'newer', folder.directory);
  await t.rejects(run('newer', schema), { message: /^This database was made by another version: .*npm run migrate/ });
});

t.test('schema.sql pasted while a migration runs waits for it, and then sees what it made', async (t) => {
  const url = await openBareDatabase('pasted_meanwhile');
  const [migrating, pasting] = [new pg.Client({ connectionString: url }), new pg.Client({ connectionString: url })];
  await Promise.all([migrating.connect(), pasting.connect()]);
  t.after(() => Promise.all([migrating.end(), pasting.end()]));
  await migrating.query(`select pg_advisory_lock(hashtext('tokenledger migrations'))`);
  // The session has looked before, so it knows by now that there is no such table.
  const [guard = ''] = /do \$guard\$[\s\S]*?\$guard\$;/.exec(schema) ?? [];
  await pasting.query(guard);
  await pasting.query(guard);
  const pasted = pasting.query(schema).then(
    () => 'pasted',
    (error: unknown) => String(error),
  );
  await untilTrue(async () => {
    const { rows } = await migrating.query(`select from pg_locks where locktype = 'advisory' and not granted`);
    return rows.length > 0;
  });
  await migrating.query(
    `create schema supabase_migrations;
     create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
     insert into supabase_migrations.schema_migrations (version) values ('20990101000000');`,
  );
  await migrating.query(`select pg_advisory_unlock(hashtext('tokenledger migrations'))`);
  t.match(await pasted, /This database was made by another version/);
});

t.test(`${TYPES_FILE} is what "npm run types" writes`, async (t) => {
  const committed = await readFile(join(PROJECT_ROOT, TYPES_FILE), 'utf8');
  t.equal(committed, await generateTypes(database.adminUrl), 'run "npm run types" where it differs');
  t.match(committed, /\n {4}Tables: \{\n {6}\[_ in never\]: never\n/, 'functions only');
});
