import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Cluster } from './cluster.js';

/** Longest wait for Postgres to take a connection, in milliseconds. */
const TIMEOUT_MS = 1_000;

/** Tells whether somebody listens on a socket in the file system. */
async function isListening(path: string): Promise<boolean> {
  const socket = connect({ path, timeout: TIMEOUT_MS });
  try {
    await Promise.race([
      once(socket, 'connect'),
      once(socket, 'timeout').then(() => Promise.reject(new Error('timed out'))),
    ]);
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * Has a connection string lead to a cluster's socket, where there is one: it takes half the work of the network's. There is
 * none on Windows, where the path is too long for one, and where Postgres was started by a version that made none.
 */
export async function preferSocket(
  connectionString: string,
  { directory, port }: Pick<Cluster, 'directory' | 'port'>,
): Promise<string> {
  if (process.platform === 'win32' || !(await isListening(join(directory, `.s.PGSQL.${port}`))))
    return connectionString;
  const url = new URL(connectionString);
  url.searchParams.set('host', directory);
  return url.href;
}
