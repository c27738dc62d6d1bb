import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StartupError } from '../../../src/config/startup-error.js';
import { createDatabaseClient } from '../../../src/platform/database/client/client.js';
import { createDatabase } from '../../../src/platform/database/client/database.js';
import { compareMigrations } from '../../../src/platform/database/migrations/compare.js';
import { readMigrations } from '../../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { schemaProblem } from '../../../src/platform/health/readiness.js';
import { openTestDataApi } from '../../helpers/db/data-api.js';
import { openMigrationFolder } from '../../helpers/db/migration-folder.js';
import t, { type Test } from '../../helpers/run/tap.js';

const REAL = await readMigrations();
const BASELINE = REAL.map(({ version, name }) => `${version}_${name}`)[0] ?? '';
const PATH = `migrations/${BASELINE}.sql`;

/** A folder with the real migrations and two more. */
async function openThree(t: Test) {
  const folder = await openMigrationFolder(t);
  await folder.add('20990101000000', 'second', 'select 2;');
  await folder.add('20990101000001', 'third', 'select 3;');
  return folder;
}

/** The lines reading a folder's migrations ends with; [] where it does not. */
async function complaints(directory: string): Promise<string[]> {
  try {
    await readMigrations(directory);
    return [];
  } catch (error) {
    if (error instanceof StartupError) return error.message.split('\n');
    throw error;
  }
}

t.test('migrations that are as the manifest says are read', async (t) => {
  const { directory } = await openThree(t);
  t.strictSame(await complaints(directory), []);
  t.equal((await readMigrations(directory)).length, REAL.length + 2);
});

t.test('an edited migration is named, also where its own checksum was edited with it', async (t) => {
  const folder = await openThree(t);
  await folder.write(PATH, (await folder.read(PATH)).replace('create schema', '-- edited\ncreate schema'));
  const [line, ...others] = await complaints(folder.directory);
  t.match(line, new RegExp(`^supabase/${PATH} was edited since it was written: .*npm run migration`));
  t.strictSame(others, []);
  await folder.add('20990101000002', 'fourth', 'select 4;');
  t.match(await complaints(folder.directory), [
    new RegExp(`^supabase/${PATH} does not end with the SHA-256 of its own text`),
  ]);
});

t.test('a migration that is missing, or was renamed, is named', async (t) => {
  const folder = await openThree(t);
  await rm(join(folder.directory, 'migrations/20990101000000_second.sql'));
  t.match(await complaints(folder.directory), [/^supabase\/migrations\/20990101000000_second\.sql is missing/]);
  await rename(
    join(folder.directory, 'migrations/20990101000001_third.sql'),
    join(folder.directory, 'migrations/20250101000001_third.sql'),
  );
  const lines = await complaints(folder.directory);
  t.equal(lines.length, 3);
  t.match(lines, [
    /000000_second\.sql is missing/,
    /000001_third\.sql is missing/,
    /20250101000001_third\.sql is not in migrations\.sha256/,
  ]);
});

t.test('a migration nobody has sealed, and a file that is no migration, are named', async (t) => {
  const folder = await openThree(t);
  await folder.write('migrations/20990101000002_fourth.sql', 'select 4;');
  await folder.write('migrations/fifth.sql', 'select 5;');
  t.match(await complaints(folder.directory), [
    /^supabase\/migrations\/20990101000002_fourth\.sql is not in migrations\.sha256: finish it with "npm run migration -- --seal"/,
    /^supabase\/migrations\/fifth\.sql is no migration: its name must be/,
  ]);
});

t.test('migrations in another order than they were written are named', async (t) => {
  const folder = await openThree(t);
  const lines = (await folder.read('migrations.sha256')).trim().split('\n');
  const [second, third] = lines.splice(-2);
  await folder.write('migrations.sha256', `${[...lines, third, second].join('\n')}\n`);
  t.match(await complaints(folder.directory), [/000000_second\.sql is out of order in migrations\.sha256/]);
});

t.test('line ends of another system change nothing', async (t) => {
  const folder = await openThree(t);
  for (const path of [PATH, 'migrations.sha256']) {
    await folder.write(path, (await folder.read(path)).replaceAll('\n', '\r\n'));
  }
  t.strictSame(await complaints(folder.directory), []);
});

t.test('migrating with an edited migration changes nothing in the database', async (t) => {
  const data = await openTestDataApi(t, '');
  const folder = await openThree(t);
  await folder.write('migrations/20990101000000_second.sql', 'drop table public.users;');
  await t.rejects(migrate(data.database.adminUrl, folder.directory), {
    name: 'StartupError',
    message: /second\.sql was edited/,
  });
  t.strictSame(await data.database.sql(`select to_regclass('public.users') as users`), [{ users: 'users' }]);
});

t.test('the sets are compared, whatever is the newest', async (t) => {
  const { directory } = await openThree(t);
  const migrations = await readMigrations(directory);
  const [first, ...more] = migrations.slice(0, -2);
  const [second, third] = migrations.slice(-2);
  if (!first || !second || !third) throw new Error('three migrations');
  const real = [first, ...more];
  t.strictSame(compareMigrations(migrations, migrations), { pending: [], conflicts: [] });
  t.strictSame(compareMigrations(migrations, real), { pending: [second, third], conflicts: [] });
  const unknown = { version: '20990101000009', sha256: first.sha256 };
  t.match(compareMigrations(migrations, [...real, third]), {
    pending: [],
    conflicts: [/^Migration 20990101000000_second is missing .*though the later 20990101000001 was applied/],
  });
  t.match(compareMigrations(migrations, [...real, second, third, unknown]), {
    conflicts: [/^Migration 20990101000009 was applied to the database, but this server does not know it/],
  });
  t.match(compareMigrations(migrations, [...real, second, { ...third, sha256: first.sha256 }]), {
    conflicts: [/^Migration 20990101000001_third ran with another text than this server has/],
  });
  t.match(compareMigrations(migrations, [...real, second, { ...third, sha256: '' }]), {
    conflicts: [/^Migration 20990101000001_third is recorded as applied, but never ran here/],
  });
  const all = compareMigrations(migrations, [{ ...first, sha256: third.sha256 }, ...more, third, unknown]);
  t.equal(all.conflicts.length, 3, 'each has a line of its own');
});

t.test('a database with other migrations is refused, one with a part of them is brought up to date', async (t) => {
  const data = await openTestDataApi(t, '');
  const { sql, adminUrl } = data.database;
  const key = await data.sign({ role: 'service_role' });
  const database = createDatabase(createDatabaseClient('http://direct.invalid', key, data.fetch));
  const { directory } = await openThree(t);
  t.equal(await schemaProblem(database), undefined);
  t.strictSame(await migrate(adminUrl, directory), ['20990101000000', '20990101000001']);
  t.match((await schemaProblem(database))?.split('\n'), [
    /^Migration 20990101000000 was applied .* does not know/,
    /^Migration 20990101000001 was/,
  ]);
  await t.rejects(migrate(adminUrl), { name: 'StartupError', message: /^Migration 20990101000000 was applied/ });

  await sql(`delete from supabase_migrations.schema_migrations where version = '20990101000000'`);
  await t.rejects(migrate(adminUrl, directory), {
    name: 'StartupError',
    message: /^Migration 20990101000000_second is missing/,
  });

  await sql(`delete from supabase_migrations.schema_migrations where version like '2099%'`);
  await sql(`update private.migration_checksums set sha256 = repeat('0', 64) where version not like '2099%'`);
  t.match(
    await schemaProblem(database),
    new RegExp(`^Migration ${BASELINE} ran with another text than this server has`),
  );
  await sql(`delete from private.migration_checksums`);
  t.match(
    await schemaProblem(database),
    new RegExp(`^Migration ${BASELINE} is recorded as applied, but never ran here`),
  );
  await sql(`delete from supabase_migrations.schema_migrations`);
  t.match(
    await schemaProblem(database),
    new RegExp(`^Migration ${BASELINE} is missing from the database: run "npm run migrate"`),
  );
});

t.test('a database of the time before the first release is told so, not brought up to date', async (t) => {
  const data = await openTestDataApi(t, '');
  const { sql, adminUrl } = data.database;
  await sql(`drop table private.migration_checksums; drop function public.applied_migrations()`);
  await sql(`delete from supabase_migrations.schema_migrations where version <> '${BASELINE.split('_')[0]}'`);
  await sql(`update supabase_migrations.schema_migrations set version = '20261122000100', name = 'foundation'`);
  await t.rejects(migrate(adminUrl), {
    name: 'StartupError',
    message: /^This database was made by a version before the first release, .*: start with a new database/,
  });
  const key = await data.sign({ role: 'service_role' });
  const database = createDatabase(createDatabaseClient('http://direct.invalid', key, data.fetch));
  t.match(
    await schemaProblem(database),
    /^The database has none of this server's tables and functions, or those of a version before/,
  );
});

t.end();
