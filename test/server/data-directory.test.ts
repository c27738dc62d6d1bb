import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertLedger, logUse, register, send } from '../helpers/http/server-load.js';
import { assertRefused, openDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';

const IN_USE = /^Another server is using DATA_DIR .*; stop it first, or give this one a DATA_DIR of its own\n$/;

const notLinux = process.platform === 'linux' ? false : 'only Linux tells where a process runs';

t.test('a second server on the same data is refused, and the first goes on', async (t) => {
  const directory = await openDirectory(t);
  const first = startServer(t, { cwd: directory.path });
  const url = await first.ready();
  const device = await register(url);
  const postgres = await directory.postgresPid();

  await assertRefused(t, startServer(t, { cwd: directory.path }), IN_USE);
  t.equal(await directory.postgresPid(), postgres, 'Postgres was not touched');
  t.match(await logUse(url, device), { status: 200, body: { remaining: 49 } });
  t.match(await send(url, '/readyz'), { status: 200 });
  await assertLedger(t, directory.sql);

  first.signal('SIGTERM');
  t.strictSame(await first.ended, { code: 0, signal: null });
  await startServer(t, { cwd: directory.path }).ready();
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

t.test('a pid file left by a crash that names a living stranger is no obstacle', { skip: notLinux }, async (t) => {
  const directory = await openDirectory(t);
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
