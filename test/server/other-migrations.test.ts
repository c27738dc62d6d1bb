import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import { openLoggedServer } from '../helpers/http/log-lines.js';
import { assertRefused, openDirectory, startServer } from '../helpers/http/server-process.js';
import { testEnvironment } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const UNKNOWN = `insert into supabase_migrations.schema_migrations (version, name) values ('20990101000000', 'later')`;
const ALTERED = `update private.migration_checksums set sha256 = repeat('0', 64)`;

t.test('a server refuses a database with other migrations, with a line for each', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestDatabase(t);
  const environment = testEnvironment(database);
  await database.sql(UNKNOWN);
  const newer = startServer(t, { cwd, environment });
  await assertRefused(
    t,
    newer,
    /^Migration 20990101000000 was applied to the database, but this server does not know it/,
  );

  await database.sql(ALTERED);
  const both = startServer(t, { cwd, environment });
  t.match(await both.ended, { code: 1 });
  t.match(both.stderr().trim().split('\n'), [
    /^Migration 20990101000000 was applied to the database/,
    /^Migration \d{14}_baseline ran with another text than this server has/,
  ]);
});

t.test(
  'a database that gets other migrations while the server runs makes it not ready; why is in the log only',
  async (t) => {
    const database = await openTestDatabase(t);
    const { app, lines } = await openLoggedServer(t, database);
    t.equal((await app.inject('/readyz')).statusCode, 200);
    await database.sql(UNKNOWN);
    await database.sql(ALTERED);
    await database.sql(`delete from supabase_migrations.schema_migrations where name = 'baseline'`);
    const answer = await app.inject('/readyz');
    t.match(answer.json(), { code: 'SERVICE_UNAVAILABLE' });
    t.equal(answer.statusCode, 503);
    t.notMatch(answer.body, /migration/i);
    t.notMatch(answer.body, /\d{14}/);
    const logged = lines.join('');
    t.match(logged, /Migration 20990101000000 was applied to the database, but this server does not know it/);
    t.match(logged, /Migration \d{14}_baseline is missing from the database/);

    await database.sql(`insert into supabase_migrations.schema_migrations (version, name)
                      select version, 'baseline' from private.migration_checksums on conflict do nothing`);
    t.equal((await app.inject('/readyz')).statusCode, 503);
    t.match(
      lines.join('').slice(logged.length),
      /Migration \d{14}_baseline ran with another text than this server has/,
    );
  },
);

t.test('a program whose migrations were edited does not start, and names the file', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const copy = await mkdtemp(join(tmpdir(), 'tokenledger-program-'));
  t.after(() => rm(copy, { recursive: true, force: true }));
  for (const path of ['package.json', 'supabase', 'dist/src']) {
    await cp(join(PROJECT_ROOT, path), join(copy, path), { recursive: true });
  }
  await symlink(join(PROJECT_ROOT, 'node_modules'), join(copy, 'node_modules'));
  const [file = ''] = await readdir(join(copy, 'supabase/migrations'));
  const path = join(copy, 'supabase/migrations', file);
  await writeFile(path, `${await readFile(path, 'utf8')}\n-- edited\n`);

  const command = [process.execPath, join(copy, 'dist/src/server.js')];
  const embedded = startServer(t, { cwd, command });
  await assertRefused(t, embedded, new RegExp(`^supabase/migrations/${file} was edited since it was written`));
  const database = await openTestDatabase(t);
  const direct = startServer(t, { cwd, command, environment: testEnvironment(database) });
  await assertRefused(t, direct, new RegExp(`^supabase/migrations/${file} was edited since it was written`));
});

t.end();
