import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { chooseRunner } from '../../src/platform/database/embedded/unprivileged.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import { assertRefused, openDirectory, startServer } from '../helpers/http/server-process.js';
import { isMissing } from '../helpers/local-program.js';
import t from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

t.test('a database that takes encrypted connections only', { skip: isMissing('openssl', 'version') }, async (t) => {
  const { cluster, sql, serverUrl, adminUrl } = await openTestCluster(t);
  const { directory } = cluster;
  // Encrypted as well: the connections made so far do not last until the servers have started.
  const inspector = new pg.Pool({ connectionString: adminUrl, ssl: { rejectUnauthorized: false } });
  t.after(() => inspector.end());
  const [key, certificate] = ['server.key', 'server.crt'].map((name) => join(directory, name));
  const subject = [
    '-subj',
    '/CN=database',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-days',
    '1',
    '-keyout',
    key ?? '',
    '-out',
    certificate ?? '',
  ];
  spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
  const runner = await chooseRunner(directory);
  await Promise.all([key, certificate].map((path) => runner.chown(path ?? '')));
  await sql('alter system set ssl = on');
  await writeFile(join(directory, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust\n');
  await sql('select pg_reload_conf()');
  const tryToConnect = () =>
    inspector.query('select').then(
      () => true,
      () => undefined,
    );
  await until('connections are encrypted', tryToConnect);
  const { path: cwd } = await openDirectory(t);
  const environment = { DATABASE_URL: serverUrl, JWT_SECRET: 'x'.repeat(32) };
  const start = (more: Record<string, string>) => startServer(t, { cwd, environment: { ...environment, ...more } });

  t.test('refuses a server that does not encrypt, or finds its certificate unknown', async (t) => {
    const reason = /The database cannot be reached/;
    await assertRefused(t, start({}), reason);
    await assertRefused(t, start({ DATABASE_URL: `${serverUrl}?sslmode=verify-full` }), reason);
  });

  t.test(
    'is used with PGSSLMODE=no-verify, where a platform sets DATABASE_URL and signs its certificates itself',
    async (t) => {
      const server = start({ PGSSLMODE: 'no-verify', DYNO: 'web.1' });
      await server.ready();
      const { rows } = await inspector.query(
        `select from pg_stat_ssl join pg_stat_activity using (pid) where ssl and application_name = 'tokenledger'`,
      );
      t.ok(rows.length > 0);
      server.signal('SIGTERM');
      await server.ended;
    },
  );

  t.test('is used with its certificate in sslrootcert', async () => {
    const server = start({ DATABASE_URL: `${serverUrl}?sslmode=verify-full&sslrootcert=${certificate}` });
    await server.ready();
  });
});

t.end();
