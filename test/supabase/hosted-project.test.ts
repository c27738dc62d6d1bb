import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runSql } from '../../scripts/database/databases.js';
import { readMigrations } from '../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { listGrants, readGrants } from '../helpers/db/grants.js';
import { openHostedSupabase } from '../helpers/db/hosted-supabase.js';
import { LINTS } from '../helpers/db/lints.js';
import { openPgBouncer } from '../helpers/db/pgbouncer.js';
import { runScript } from '../helpers/http/run-script.js';
import { assertLedger, assertNothingLost, register, startLoad } from '../helpers/http/server-load.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import { isMissing } from '../helpers/local-program.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const project = await openHostedSupabase(t);
const directory = await mkdtemp(join(tmpdir(), 'tokenledger-hosted-'));
t.after(() => rm(directory, { recursive: true, force: true }));
const [baseline, ...later] = await readMigrations();

t.test('its owner, who is no superuser, applies every migration, also to rows that are there', async (t) => {
  const [owner] = await project.sql(`select rolsuper from pg_roles where rolname = 'postgres'`);
  t.strictSame(owner, { rolsuper: false });
  // As `supabase db push` does: nothing but the migrations.
  await runSql(project.adminUrl, baseline?.sql ?? '');
  await runSql(
    project.adminUrl,
    `insert into supabase_migrations.schema_migrations (version, name) values ('${baseline?.version}', 'baseline');
     select public.register_device('Laptop', 'fingerprint-of-a-laptop', 50)`,
  );
  t.strictSame(
    await migrate(project.adminUrl),
    later.map(({ version }) => version),
  );
  await assertLedger(t, project.sql);
  t.strictSame(
    await listGrants(project.sql),
    await readGrants(project.sql),
    'what Supabase grants by default is taken away',
  );
  for (const { name, query: find } of LINTS) t.strictSame(await project.sql(find), [], name);
});

/** Starts a server and callers; some of their uses are acknowledged when it resolves. */
async function startUse(t: Test, connectionString: string) {
  const server = await openTestServer(t, {
    database: project,
    environment: { DATABASE_URL: connectionString, DEFAULT_DEVICE_TOKENS: '100000', DATABASE_POOL_SIZE: '12' },
  });
  const url = await server.listen();
  const load = startLoad(url, await register(url), 4);
  await until('some uses are recorded', () => (load.acknowledged.size > 20 ? true : undefined));
  return { load, verifyLedger: server.verifyLedger };
}

t.test('a server that connects as its owner records uses', async (t) => {
  const { load, verifyLedger } = await startUse(t, project.adminUrl);
  await load.stop();
  t.strictSame(load.refused, []);
  await verifyLedger(t);
});

for (const mode of ['transaction', 'session'] as const) {
  const skip = isMissing('pgbouncer', '--version');
  t.test(`it does so through a pooler in ${mode} mode`, { skip }, async (t) => {
    const pooled = await openPgBouncer(t, project.adminUrl, mode, 15);
    t.strictSame(await migrate(pooled), []);
    const { load, verifyLedger } = await startUse(t, pooled);
    await load.stop();
    t.strictSame(load.refused, []);
    await verifyLedger(t);
    const { code, stderr } = await runScript(t, 'backup', ['--directory', join(directory, mode)], {
      ...testEnvironment(project),
      DATABASE_URL: pooled,
    });
    if (mode === 'session') return void t.equal(code, 0, stderr);
    t.equal(code, 1);
    t.match(stderr, /^This goes through a pooler in transaction mode, .*port 5432.*\n$/);
    t.strictSame(await readdir(join(directory, mode)), [], 'nothing was written');
  });
}

t.test('a move from it under load, and one back to it, lose nothing that was acknowledged', async (t) => {
  const { load } = await startUse(t, project.adminUrl);
  const there = await openHostedSupabase(t);
  const { code, stderr } = await runScript(t, 'move', ['--to', there.adminUrl], testEnvironment(project));
  await load.stop();
  t.equal(code, 0, stderr);
  t.ok(load.refused.length > 0, 'the load ran into the move');
  await assertNothingLost(t, there.sql, load);
  await assertLedger(t, there.sql);

  const old = testEnvironment(project);
  t.match(await runScript(t, 'move', ['--to', there.adminUrl, '--undo'], old), {
    code: 2,
    stderr: /takes nothing else/,
  });
  t.match(await runScript(t, 'move', ['--undo'], old), { code: 0, stdout: /can be written again/ });
  const back = await runScript(t, 'move', ['--to', project.adminUrl, '--replace'], testEnvironment(there));
  t.equal(back.code, 0, back.stderr);
  await assertNothingLost(t, project.sql, load);
  await assertLedger(t, project.sql);
});

t.end();
