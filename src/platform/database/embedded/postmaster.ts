import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../../config/startup-error.js';

/** SQLSTATE of a password Postgres does not accept. */
const INVALID_PASSWORD = '28P01';
const STARTUP_TIMEOUT_MS = 120_000;

interface Postmaster {
  readonly pid: number;
  readonly port: number;
}

const toPidFilePath = (directory: string) => join(directory, 'postmaster.pid');

/** Reads what Postgres wrote about itself into its data directory: it may be left over from one that died. */
async function readPidFile(directory: string): Promise<Postmaster | undefined> {
  const lines = (await readFile(toPidFilePath(directory), 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return Number.isInteger(pid) && Number.isInteger(port) && pid > 0 && port > 0 ? { pid, port } : undefined;
}

/** Tells whether a process with this number exists. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Tells whether a process is the Postgres of a directory, as process numbers are reused after a crash of the machine. */
async function runsIn(directory: string, pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return exists(pid);
  const [working, own] = await Promise.all(
    [`/proc/${pid}/cwd`, directory].map((path) => stat(path).catch(() => undefined)),
  );
  return working !== undefined && working.dev === own?.dev && working.ino === own.ino;
}

/** Tells whether Postgres runs in a directory, whether or not it can answer. */
export async function isRunning(directory: string): Promise<boolean> {
  const postmaster = await readPidFile(directory);
  return postmaster !== undefined && (await runsIn(directory, postmaster.pid));
}

/** Removes a pid file that names another program's process, which Postgres would take for its own and refuse to start. */
export async function removeStalePidFile(directory: string): Promise<void> {
  const postmaster = await readPidFile(directory);
  if (postmaster === undefined || !exists(postmaster.pid) || (await runsIn(directory, postmaster.pid))) return;
  await rm(toPidFilePath(directory), { force: true });
}

/**
 * Tells whether Postgres accepts connections.
 * @throws {StartupError} when it does not accept the password
 */
async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return true;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== INVALID_PASSWORD) return false;
    throw new StartupError(
      'it was made with another password than that in secrets.json; restore the secrets.json that belongs to it from a backup',
      { cause: error },
    );
  }
}

/**
 * Returns the port Postgres answers on in a directory, or undefined where it does not run. Waits while it starts,
 * recovers or stops.
 *
 * @param toUrl returns the superuser's connection string for a port
 * @throws {StartupError} when it runs and cannot be used
 */
export async function findRunningPort(
  directory: string,
  toUrl: (port: number) => string,
  timeoutMs = STARTUP_TIMEOUT_MS,
): Promise<number | undefined> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const postmaster = await readPidFile(directory);
    if (postmaster === undefined || !(await runsIn(directory, postmaster.pid))) return undefined;
    if (await answers(toUrl(postmaster.port))) return postmaster.port;
    if (Date.now() > deadline) throw new StartupError('the Postgres running there does not answer');
    await delay(100);
  }
}
