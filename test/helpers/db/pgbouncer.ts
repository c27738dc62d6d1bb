import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { findFreePort, makeDirectory, startProgram } from '../local-program.js';
import { until } from '../until.js';

/** Replaces settings of `scripts/deploy/pgbouncer.ini`; each must be there. */
async function configure(settings: Readonly<Record<string, string | number>>): Promise<string> {
  const file = await readFile(join(PROJECT_ROOT, 'scripts/deploy/pgbouncer.ini'), 'utf8');
  return Object.entries(settings).reduce((text, [name, value]) => {
    const line = new RegExp(`^${name} = .*$`, 'm');
    if (!line.test(text)) throw new Error(`pgbouncer.ini has no ${name}`);
    return text.replace(line, () => `${name} = ${value}`);
  }, file);
}

/** Tells whether a database answers at an address, or what it says instead. */
async function connects(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * Starts PgBouncer before a database, as `scripts/deploy/pgbouncer.ini` says; it ends with the test.
 *
 * @param databaseUrl where it connects, and as whom
 * @param mode what a client keeps its session for
 * @param sessions how many there are for everybody
 * @param settings further changes of the file
 * @returns the connection string of clients
 */
export async function openPgBouncer(
  t: Test,
  databaseUrl: string,
  mode: 'transaction' | 'session' = 'transaction',
  sessions = 2,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<string> {
  const directory = await makeDirectory(t);
  const port = await findFreePort();
  const { hostname, port: databasePort, username, password, pathname } = new URL(databaseUrl);
  const [file, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'userlist.txt')];
  const changed = await configure({
    tokenledger: `host=${hostname} port=${databasePort} dbname=${pathname.slice(1)}`,
    ...{ listen_port: port, auth_file: users, pool_mode: mode, default_pool_size: sessions, ...settings },
  });
  await writeFile(file, changed);
  await writeFile(users, `"${username}" "${password}"\n`);
  // It refuses to be root, and whom it becomes must find the files.
  await chmod(directory, 0o755);
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  startProgram(t, 'pgbouncer', [...asNobody, file], directory);
  const url = `postgresql://${username}:${password}@127.0.0.1:${port}/tokenledger`;
  await until('PgBouncer answers', async () => ((await connects(url)) ? true : undefined));
  return url;
}
