import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { answers, findFreePort } from './ports.js';

/** A PgBouncer in transaction mode, which is killed and frozen. */
export interface Pooler {
  /** Connection string of its clients. */
  readonly url: string;
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void;
  readonly kill: () => Promise<void>;
  /** Starts it again at the same address. */
  readonly start: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts PgBouncer as `scripts/deploy/pgbouncer.ini` says. @param databaseUrl where it connects, and as whom */
export async function openPooler(databaseUrl: string): Promise<Pooler> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-chaos-pooler-'));
  const port = await findFreePort();
  const { hostname, port: databasePort, username, password, pathname } = new URL(databaseUrl);
  const users = join(directory, 'userlist.txt');
  const settings = {
    tokenledger: `host=${hostname} port=${databasePort} dbname=${pathname.slice(1)}`,
    listen_port: String(port),
    auth_file: users,
  };
  const file = await readFile(join(PROJECT_ROOT, 'scripts/deploy/pgbouncer.ini'), 'utf8');
  const changed = Object.entries(settings).reduce(
    (text, [name, value]) => text.replace(new RegExp(`^${name} = .*$`, 'm'), () => `${name} = ${value}`),
    file,
  );
  await writeFile(join(directory, 'pgbouncer.ini'), changed);
  await writeFile(users, `"${username}" "${password}"\n`);
  // It refuses to be root, and whom it becomes must find the files.
  await chmod(directory, 0o755);
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];

  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn('pgbouncer', [...asNobody, join(directory, 'pgbouncer.ini')], { stdio: 'ignore' });
    while (!(await answers(port))) await delay(20);
  };
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    url: `postgresql://${username}:${password}@127.0.0.1:${port}/tokenledger`,
    signal: (signal) => void child?.kill(signal),
    kill,
    start,
    close: async () => {
      await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
