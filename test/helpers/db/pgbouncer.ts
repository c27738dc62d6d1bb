import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { findFreePort, makeDirectory, startProgram } from '../local-program.js';
import { until } from '../until.js';

/**
 * Starts PgBouncer in transaction mode before a database, with two sessions for everybody; it ends with the test.
 *
 * @param databaseUrl where it connects, and as whom
 * @returns the connection string of clients
 */
export async function openPgBouncer(t: Test, databaseUrl: string): Promise<string> {
  const directory = await makeDirectory(t);
  const port = await findFreePort();
  const { hostname, port: databasePort, username, password, pathname } = new URL(databaseUrl);
  const target = `host=${hostname} port=${databasePort} dbname=${pathname.slice(1)} user=${username} password=${password}`;
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(
    file,
    `[databases]\npooled = ${target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\n` +
      'auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n',
    { mode: 0o644 },
  );
  // It refuses to be root, and whom it becomes must find the file.
  await chmod(directory, 0o755);
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  startProgram(t, 'pgbouncer', [...asNobody, file], directory);
  const url = `postgresql://anybody@127.0.0.1:${port}/pooled`;
  await until('PgBouncer answers', async () => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    try {
      await client.connect();
      return true;
    } catch {
      return undefined;
    } finally {
      await client.end().catch(() => {});
    }
  });
  return url;
}
