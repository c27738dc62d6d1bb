import { readFile } from 'node:fs/promises';
import pg from 'pg';
import {
  createDatabase,
  createDeclaredDatabase,
  createMigratedDatabase,
  runSql,
} from '../../scripts/database/databases.js';
import { describeSchema } from '../../scripts/database/describe-schema.js';
import { compareDatabases, renderDifference } from '../../scripts/database/differences.js';
import { SCHEMA_FILE } from '../../scripts/database/schema-sql.js';
import { SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { openOtherPostgres, otherPostgresMissing } from '../helpers/db/other-postgres.js';
import t from '../helpers/run/tap.js';

const skip = await otherPostgresMissing();

t.test('on Postgres 15, too, a database made by migrations/ equals one made by schemas/', { skip }, async (t) => {
  const adminUrl = await openOtherPostgres(t);
  const migrated = await createMigratedDatabase(adminUrl, 'migrated', SUPABASE_DIRECTORY);
  const declared = await createDeclaredDatabase(adminUrl, 'declared', SUPABASE_DIRECTORY);
  t.strictSame((await compareDatabases(migrated, declared)).flatMap(renderDifference), []);
  t.ok((await describeSchema(declared)).length > 200, 'the description covers the schema');
  t.strictSame(await migrate(migrated), [], 'a second run finds nothing to do');

  const pasted = await createDatabase(adminUrl, 'pasted');
  await runSql(pasted, await readFile(`${SUPABASE_DIRECTORY}/platform.sql`, 'utf8'));
  const schema = await readFile(SCHEMA_FILE, 'utf8');
  await runSql(pasted, schema);
  await runSql(pasted, schema);
  t.strictSame((await compareDatabases(migrated, pasted)).flatMap(renderDifference), [], 'pasted twice');
  t.strictSame(await migrate(pasted), []);

  const client = new pg.Client({ connectionString: migrated });
  await client.connect();
  t.after(() => client.end());
  const { rows } = await client.query(
    'select current_setting($1)::integer / 10000 as version, bool_and(ok) as ok from public.verify_ledger()',
    ['server_version_num'],
  );
  t.match(rows, [{ ok: true }]);
  t.comment(`Postgres ${rows[0]?.version}`);
});

t.end();
