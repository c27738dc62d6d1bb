import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { openTestCluster } from '../helpers/db/test-database.js';
import {
  assertRefused,
  openDirectory,
  openReadyDirectory,
  type ServerProcess,
  startServer,
} from '../helpers/http/server-process.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const JWT_SECRET = 'a secret of more than thirty-two characters';

async function takenPort(t: Test): Promise<string> {
  const holder = createServer();
  await new Promise<void>((listening) => holder.listen(0, '127.0.0.1', listening));
  t.after(() => holder.close());
  const address = holder.address();
  return typeof address === 'object' && address !== null ? String(address.port) : '';
}

t.test('a port that is taken is named, and the Postgres just started is stopped', async (t) => {
  const directory = await openReadyDirectory(t);
  const PORT = await takenPort(t);
  const server = startServer(t, { cwd: directory.path, environment: { PORT } });
  await assertRefused(t, server, new RegExp(`^PORT ${PORT} on 127\\.0\\.0\\.1 is already in use`));
  t.match(await directory.postgresLog(), /database system is shut down/);
  t.equal(await directory.postgresPid(), undefined);
});

t.test('an address that is not ours is named', async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path, environment: { HOST: '192.0.2.1' } });
  await assertRefused(t, server, /^PORT 0 on 192\.0\.2\.1 cannot be listened on \(EADDRNOTAVAIL\)/);
  t.equal(await directory.postgresPid(), undefined);
});

t.test('a data directory that cannot be made is named', async (t) => {
  const directory = await openDirectory(t);
  await writeFile(join(directory.path, 'file'), '');
  const server = startServer(t, { cwd: directory.path, environment: { DATA_DIR: './file/data' } });
  await assertRefused(t, server, /^DATA_DIR \.\/file\/data .*\(ENOTDIR\)/);
  if (process.platform !== 'linux') return;
  const nowhere = startServer(t, { cwd: directory.path, environment: { DATA_DIR: '/proc/nowhere/data' } });
  await assertRefused(t, nowhere, /^DATA_DIR \/proc\/nowhere\/data .*\(ENOENT\)/);
});

t.test('damaged secrets are named and not replaced', async (t) => {
  const directory = await openDirectory(t);
  await mkdir(directory.dataDir);
  await writeFile(join(directory.dataDir, 'secrets.json'), '{"jwt_secret":');
  const server = startServer(t, { cwd: directory.path });
  await assertRefused(t, server, /secrets\.json is damaged; restore it from a backup/);
  t.strictSame(await readdir(directory.dataDir), ['secrets.json'], 'nothing else was made');
});

t.test('all bad variables are named at once, and no value is shown', async (t) => {
  const directory = await openDirectory(t);
  await writeFile(join(directory.path, '.env'), 'RATE_LIMIT=on\nDEVICE_ENROLLMENT=hush-1\n');
  const environment = {
    PORT: 'hush-2',
    LOG_LEVEL: 'hush-3',
    JWT_SECRET: 'hush-4',
    DATABASE_URL: 'mysql://hush-5',
    DEFAULT_DEVICE_TOKENS: '-6',
  };
  const server = startServer(t, { cwd: directory.path, environment });
  await assertRefused(t, server, /^Bad configuration: /);
  for (const name of [...Object.keys(environment), 'DEVICE_ENROLLMENT']) {
    t.equal(server.stderr().split(`${name} is not valid`).length, 2, `${name} is named once`);
  }
  t.notMatch(server.stderr(), /JWT_SECRET is missing/, 'a bad one is not called missing');
  t.notMatch(server.stdout() + server.stderr(), /hush|-6/);
  t.strictSame(await readdir(directory.path), ['.env'], 'nothing was made');
});

t.test('settings that cannot be read are told', async (t) => {
  const directory = await openDirectory(t);
  await mkdir(join(directory.path, '.env'));
  await assertRefused(t, startServer(t, { cwd: directory.path }), /^\.env cannot be read/);
});

t.test('a database of the operator needs a JWT_SECRET', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const unreachable = `postgres://someone:hush@127.0.0.1:${await takenPort(t)}/nowhere`;
  const noSecret = startServer(t, { cwd, environment: { DATABASE_URL: unreachable } });
  await assertRefused(t, noSecret, /^Bad configuration: JWT_SECRET is missing/);
});

t.test('why a database cannot be reached is told by its code', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestCluster(t);
  const causes = [
    [database.serverUrl.replace(/postgres$/, 'nowhere'), /\(3D000: there is no such database\)/],
    ['postgres://a:hush@host.invalid/b', /\(ENOTFOUND: the host name is not known\)/],
  ] as const;
  for (const [DATABASE_URL, reason] of causes) {
    const server = startServer(t, { cwd, environment: { DATABASE_URL, JWT_SECRET } });
    await assertRefused(t, server, reason);
    t.notMatch(server.stderr(), /hush|host\.invalid/);
  }
});

t.test('a server waits for a database that is down, and says so each time', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestCluster(t);
  const environment = { DATABASE_URL: database.serverUrl, JWT_SECRET, LOG_LEVEL: 'warn' };
  const lines = (server: ServerProcess) => server.stdout().match(/the database cannot be reached; trying again/g) ?? [];
  await database.cluster.stop();
  const [patient, stopped] = [1, 2].map(() => startServer(t, { cwd, environment }));
  // Somebody listens there who is not Postgres and never answers.
  const silent = `postgres://someone:hush@127.0.0.1:${await takenPort(t)}/nowhere`;
  const unanswered = startServer(t, { cwd, environment: { ...environment, DATABASE_URL: silent } });
  await until('they say so', () =>
    [patient, stopped, unanswered].every((server) => server !== undefined && lines(server).length >= 2)
      ? true
      : undefined,
  );
  for (const server of [stopped, unanswered]) {
    server?.signal('SIGTERM');
    t.strictSame(await server?.ended, { code: 0, signal: null });
    t.notMatch(server?.stdout(), /hush|ready/);
  }
  await database.cluster.restart();
  t.match(await patient?.ready(), /^http/);
});

t.test(
  'secrets that do not belong to the database, or are gone, are named, and no Postgres is left running',
  async (t) => {
    const directory = await openReadyDirectory(t);
    const file = join(directory.dataDir, 'secrets.json');
    const secrets = await readFile(file, 'utf8');

    await writeFile(file, secrets.replace(/("postgres_password":")[^"]{8}/, '$1another-'));
    const foreign = startServer(t, { cwd: directory.path });
    await assertRefused(t, foreign, /another password than that in secrets\.json; restore the secrets\.json/);
    t.equal(await directory.postgresPid(), undefined);

    await rm(file);
    const missing = startServer(t, { cwd: directory.path });
    await assertRefused(t, missing, /secrets\.json is missing, .*restore it from a backup, or set DATA_DIR/);
    t.equal(await directory.postgresPid(), undefined);
    t.notOk((await readdir(directory.dataDir)).includes('secrets.json'), 'no new one hides that');

    await writeFile(file, secrets);
    t.match(await startServer(t, { cwd: directory.path }).ready(), /^http/);
  },
);

t.test('a database that lacks migrations is told apart from one that cannot be reached', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestCluster(t);
  await database.sql('create database untouched');
  const untouched = database.serverUrl.replace(/postgres$/, 'untouched');
  const empty = startServer(t, { cwd, environment: { DATABASE_URL: untouched, JWT_SECRET } });
  await assertRefused(t, empty, /^The database has none of .*npm run migrate/);

  await database.sql(`delete from supabase_migrations.schema_migrations
                       where version = (select max(version) from supabase_migrations.schema_migrations)`);
  const behind = startServer(t, { cwd, environment: { DATABASE_URL: database.serverUrl, JWT_SECRET } });
  await assertRefused(t, behind, /^Migration \d{14}_[a-z_]+ is missing from the database: run "npm run migrate"/);
});

t.test('a user who may not do what the server must is told what to be given', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestCluster(t);
  await database.sql('revoke service_role from authenticator');
  const denied = startServer(t, { cwd, environment: { DATABASE_URL: database.serverUrl, JWT_SECRET } });
  await assertRefused(
    t,
    denied,
    /^The database does not let .* a member of .* service_role.* \(42501: permission denied /,
  );
});
