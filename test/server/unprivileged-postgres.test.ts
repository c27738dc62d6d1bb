import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { findBinaries } from '../../src/platform/database/embedded/binaries.js';
import { openCluster } from '../../src/platform/database/embedded/cluster.js';
import {
  chooseRunner,
  createAccountRunner,
  findAccountRunner,
  type Runner,
} from '../../src/platform/database/embedded/unprivileged.js';
import t, { type Test } from '../helpers/run/tap.js';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const notRoot = isRoot ? false : 'needs root';

/** A directory every account may enter. */
async function openShared(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-account-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  return directory;
}

/** Who a runner's programs are, to themselves and to the file system. */
async function readIdentity(t: Test, runner: Runner): Promise<{ self: number; owner: number }> {
  const directory = join(await openShared(t), 'own');
  await mkdir(directory, { mode: 0o700 });
  await runner.chown(directory);
  const file = join(directory, 'id');
  await runner.run('sh', ['-c', `id -u > ${file}`]);
  return { self: Number(await readFile(file, 'utf8')), owner: (await stat(file)).uid };
}

async function accountCanRunPostgres(): Promise<boolean> {
  if (!isRoot) return false;
  const { pgCtl } = await findBinaries();
  return createAccountRunner(NOBODY, NOBODY)
    .run(pgCtl, ['--version'])
    .then(
      () => true,
      () => false,
    );
}

async function namespacesWork(): Promise<boolean> {
  return promisify(execFile)('unshare', ['--user', '--map-user=1', 'true']).then(
    () => true,
    () => false,
  );
}

const noNamespaces = isRoot && (await namespacesWork()) ? false : 'needs root and user namespaces';
const unreachable = (await accountCanRunPostgres()) ? false : 'no other account can reach the programs of Postgres';

t.test('without root, Postgres runs as ourselves', { skip: isRoot && 'is root' }, async (t) => {
  const runner = await chooseRunner(await openShared(t));
  const uid = process.getuid?.();
  t.strictSame(await readIdentity(t, runner), { self: uid, owner: uid });
});

t.test(
  'as root, a namespace hides root from Postgres and keeps its files root’s',
  { skip: noNamespaces },
  async (t) => {
    const runner = await chooseRunner(join(await openShared(t), 'new'));
    t.strictSame(await readIdentity(t, runner), { self: NOBODY, owner: 0 });
  },
);

t.test('where namespaces are not allowed, root falls back to an account', { skip: notRoot }, async (t) => {
  const directory = join(await openShared(t), 'new');
  const runner = await chooseRunner(directory, { namespaces: false, account: 'nobody' });
  const { self, owner } = await readIdentity(t, runner);
  t.not(self, 0);
  t.equal(owner, self);
});

t.test('data that belongs to an account stays with it', { skip: notRoot }, async (t) => {
  const directory = join(await openShared(t), 'existing');
  await mkdir(directory);
  await chown(directory, 12_345, 12_345);
  for (const namespaces of [true, false]) {
    const runner = await chooseRunner(directory, { namespaces });
    t.strictSame(await readIdentity(t, runner), { self: 12_345, owner: 12_345 });
  }
});

t.test('an account that can neither be found nor made is told in one line', { skip: notRoot }, async (t) => {
  await t.rejects(findAccountRunner('no/such account'), {
    name: 'StartupError',
    message: /^Postgres does not run as root, and no account "no\/such account" .*start the server as another user$/,
  });
});

async function ownerOfPostgres(directory: string): Promise<string | undefined> {
  const pid = (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n')[0];
  return /^Uid:\t(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
}

async function ask<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<Row>(text);
  await client.end();
  return rows;
}

t.test('a cluster made as another account is opened as that account again', { skip: unreachable }, async (t) => {
  const directory = join(await openShared(t), 'postgres');
  const password = randomBytes(24).toString('base64url');
  const made = await openCluster({ directory, password, runner: createAccountRunner(NOBODY, NOBODY) });
  t.after(() => made.stop());
  await ask(made.adminUrl, 'create table kept as select 42 as answer');
  t.equal(await ownerOfPostgres(directory), String(NOBODY));
  t.equal((await stat(directory)).uid, NOBODY);

  const joined = await openCluster({ directory, password });
  t.equal(joined.port, made.port, 'while it runs it is joined');
  await joined.stop();
  await joined.stop();

  const reopened = await openCluster({ directory, password });
  t.after(() => reopened.stop());
  t.equal(await ownerOfPostgres(directory), String(NOBODY));
  t.strictSame(await ask(reopened.adminUrl, 'select answer from kept'), [{ answer: 42 }]);

  await t.rejects(openCluster({ directory, password: 'another' }), {
    name: 'StartupError',
    message: /made with another password than that in secrets\.json/,
  });
  await reopened.stop();
});
