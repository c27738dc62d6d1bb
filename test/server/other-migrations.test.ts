import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import { openLoggedServer } from '../helpers/http/log-lines.js';
import { assertRefused, openDirectory, startServer } from '../helpers/http/server-process.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

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

/** What a newer version may do in a transaction: a helper gets another name, and all that call it another text. */
const NEWER = `
  begin;
  alter function private.record_usage_events(public.usage_events[]) rename to record_events_newly;
  do $$
    declare
      v_caller oid;
    begin
      for v_caller in select oid from pg_proc where prosrc like '%private.record\\_usage\\_events(%' loop
        execute replace(pg_get_functiondef(v_caller), 'private.record_usage_events(', 'private.record_events_newly(');
      end loop;
    end $$;
  ${UNKNOWN};
  commit`;

t.test(
  'a server whose database gets newer goes on; what was under way is 503, and counted once when sent again',
  async (t) => {
    const server = await openTestServer(t);
    const device = await server.registerDevice(10);
    const use = (event_id: string) => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', event_id });
    t.equal((await use('before')).statusCode, 200);
    const holder = new pg.Client({ connectionString: server.database.adminUrl });
    await holder.connect();
    t.after(() => holder.end());
    await holder.query('begin');
    await holder.query('select from balances where subject_id = $1 for update', [device.id]);
    const answer = use('under way');
    await untilTrue(async () => {
      const waiting = await server.database.sql(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length > 0;
    });
    await server.database.sql(NEWER);
    await holder.query('commit');
    const underWay = await answer;
    t.match(underWay.json(), { code: 'SERVICE_UNAVAILABLE' });
    t.equal(underWay.statusCode, 503);
    t.match(underWay.headers['retry-after'], /^\d+$/);
    t.equal((await server.app.inject('/readyz')).statusCode, 503);
    await server.database.sql('alter table public.devices add column newer text');
    for (const event_id of ['under way', 'under way', 'after'])
      t.equal((await use(event_id)).statusCode, 200, event_id);
    t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { remaining: 7 });
    await server.verifyLedger(t);
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
