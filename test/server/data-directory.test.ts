import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCluster } from '../../src/platform/database/embedded/cluster.js';
import { openEmbedded, superviseEmbedded } from '../../src/platform/database/embedded/embedded.js';
import { isRunning } from '../../src/platform/database/embedded/postmaster.js';
import { preferSocket } from '../../src/platform/database/embedded/socket.js';
import { assertLedger, logUse, register, send } from '../helpers/http/server-load.js';
import { assertRefused, openDirectory, openReadyDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';

const IN_USE = /^Another server is using DATA_DIR .*; stop it first, or give this one a DATA_DIR of its own\n$/;

const notLinux = process.platform === 'linux' ? false : 'only Linux tells where a process runs';

t.test('a second server on the same data is refused, and the first goes on', async (t) => {
  const directory = await openReadyDirectory(t);
  const first = startServer(t, { cwd: directory.path });
  const url = await first.ready();
  const device = await register(url);
  const postgres = await directory.postgresPid();
  const ports = await directory.sql(
    `select distinct client_port from pg_stat_activity where usename = 'authenticator' and application_name = 'tokenledger'`,
  );
  if (process.platform !== 'win32') t.strictSame(ports, [{ client_port: -1 }], 'it talks to Postgres by a socket');

  await assertRefused(t, startServer(t, { cwd: directory.path }), IN_USE);
  t.equal(await directory.postgresPid(), postgres, 'Postgres was not touched');
  t.match(await logUse(url, device), { status: 200, body: { remaining: 49 } });
  t.match(await send(url, '/readyz'), { status: 200 });
  await assertLedger(t, directory.sql);

  first.signal('SIGTERM');
  t.strictSame(await first.ended, { code: 0, signal: null });
  await startServer(t, { cwd: directory.path }).ready();
});

t.test('where Postgres has no socket, or its path is too long for one, the server takes the network', async (t) => {
  const url = 'postgres://authenticator:secret@127.0.0.1:5432/postgres';
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-socket-'));
  t.after(() => rm(directory, { recursive: true }));
  t.equal(await preferSocket(url, { directory, port: 5432 }), url);
  t.equal(await preferSocket(url, { directory: `/tmp/${'x'.repeat(200)}`, port: 5432 }), url);
});

t.test('files of another major version of Postgres are left as they are, with a sentence on what to do', async (t) => {
  const directory = await openDirectory(t);
  await mkdir(join(directory.dataDir, 'postgres'), { recursive: true });
  await writeFile(join(directory.dataDir, 'postgres/PG_VERSION'), '16\n');
  const secret = 'x'.repeat(32);
  const secrets = { jwt_secret: randomUUID() + secret, postgres_password: secret, authenticator_password: secret };
  await writeFile(join(directory.dataDir, 'secrets.json'), JSON.stringify(secrets));
  const refused =
    /^\S+postgres is of Postgres 16, which Postgres \d+ of this server cannot read; nothing was changed\. .*"npm run restore .*\n$/;
  await assertRefused(t, startServer(t, { cwd: directory.path }), refused);
  t.strictSame(await readdir(join(directory.dataDir, 'postgres')), ['PG_VERSION']);
});

t.test('of two first starts at once one wins', async (t) => {
  const directory = await openDirectory(t);
  const servers = [1, 2].map(() => startServer(t, { cwd: directory.path }));
  const outcomes = await Promise.all(
    servers.map((server) =>
      server.ready().then(
        (url) => ({ url, server }),
        () => ({ url: undefined, server }),
      ),
    ),
  );
  const [won, second] = outcomes.filter(({ url }) => url !== undefined);
  const lost = outcomes.find(({ url }) => url === undefined);
  t.equal(second, undefined, 'one is ready');
  if (won?.url === undefined || lost === undefined) throw new Error('one wins and one loses');

  await assertRefused(t, lost.server, IN_USE);
  t.match(won.server.stdout(), /password: \S{16,}/, 'the winner shows the password');
  t.notMatch(lost.server.stdout(), /password/);
  const device = await register(won.url);
  t.match(await logUse(won.url, device), { status: 200, body: { remaining: 49 } });
  t.strictSame((await readdir(directory.dataDir)).sort(), ['postgres', 'secrets.json'], 'nothing half-made is left');
  await assertLedger(t, directory.sql);
});

t.test(
  'where the disk has no space for Postgres, the reason is said, no file that is not there, and nothing is left',
  async (t) => {
    const { path } = await openDirectory(t);
    const directory = join(path, 'postgres');
    const failure = Object.assign(new Error('failed'), {
      stderr: 'initdb: error: No space left on device\nremoving\n',
    });
    const runner = { run: () => Promise.reject(failure), chown: async () => {} };
    await t.rejects(openCluster({ directory, password: 'x'.repeat(32), runner }), {
      name: 'StartupError',
      message: `Postgres could not be made in ${directory}: initdb: error: No space left on device`,
    });
    t.strictSame(await readdir(path), []);
  },
);

t.test('Postgres is stopped by the last that uses it: server or command, one after the other or at once', async (t) => {
  const { dataDir, sql } = await openReadyDirectory(t);
  const postgres = join(dataDir, 'postgres');
  const [backup, verify] = [await openEmbedded(dataDir), await openEmbedded(dataDir)];
  await verify.close();
  t.strictSame(await sql('select 1 as one'), [{ one: 1 }], 'the longer command goes on');
  const restore = await superviseEmbedded(dataDir, () => {});
  await restore.close();
  t.strictSame(await sql('select 2 as two'), [{ two: 2 }], 'also where a server stops');
  const third = await openEmbedded(dataDir);
  await Promise.all([backup.close(), third.close()]);
  t.notOk(await isRunning(postgres));
});

t.test('a pid file left by a crash that names a living stranger is no obstacle', { skip: notLinux }, async (t) => {
  const directory = await openReadyDirectory(t);
  const first = startServer(t, { cwd: directory.path });
  const device = await register(await first.ready());
  const file = join(directory.dataDir, 'postgres/postmaster.pid');
  const left = await readFile(file, 'utf8');
  first.signal('SIGTERM');
  await first.ended;

  const stranger = spawn('sleep', ['600'], { stdio: 'ignore' });
  t.after(() => stranger.kill());
  await writeFile(file, left.replace(/^\d+/, String(stranger.pid)));
  const url = await startServer(t, { cwd: directory.path }).ready();
  t.match(await logUse(url, device), { status: 200 });
  t.equal(stranger.exitCode, null, 'the stranger lives');
});
