import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import t from 'tap';
import { generateTypes } from '../../scripts/generate-types.js';
import { migrate, readMigrations } from '../../src/platform/database/migrations/migrations.js';
import { SCHEMA_FILE, schemaFile } from '../../src/platform/database/migrations/schema-file.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { describeSchema } from '../helpers/db/describe-schema.js';
import { openTestCluster } from '../helpers/db/test-database.js';

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
  t.equal(schema, schemaFile(await readMigrations()), 'run "npm run schema" where it differs');
});

t.test('pasting schema.sql once or twice makes the same schema as the migrations', async (t) => {
  const pasted = await openBareDatabase('pasted');
  const expected = await describeSchema(database.adminUrl);
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

t.test('src/platform/database/client/types.ts is what "npm run types" writes', async (t) => {
  const committed = await readFile(join(PROJECT_ROOT, 'src/platform/database/client/types.ts'), 'utf8');
  t.equal(committed, await generateTypes(database.adminUrl), 'run "npm run types" where it differs');
});
