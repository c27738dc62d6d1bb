import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../startup-error.js';

/** SQLSTATE of a password Postgres does not accept. */
const INVALID_PASSWORD = '28P01';
const PATIENCE_MS = 120_000;

interface Postmaster {
  readonly pid: number;
  readonly port: number;
}

const pidFileOf = (directory: string) => join(directory, 'postmaster.pid');

/** What Postgres wrote of itself into its data directory: still true, or left by one that died. */
async function lastPostmaster(directory: string): Promise<Postmaster | undefined> {
  const lines = (await readFile(pidFileOf(directory), 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  return Number.isInteger(pid) && Number.isInteger(port) && pid > 0 && port > 0 ? { pid, port } : undefined;
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Whether a process is the Postgres of a directory: numbers are reused after a crash of the machine. */
async function runsIn(directory: string, pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return exists(pid);
  const [working, own] = await Promise.all(
    [`/proc/${pid}/cwd`, directory].map((path) => stat(path).catch(() => undefined)),
  );
  return working !== undefined && working.dev === own?.dev && working.ino === own.ino;
}

/** Whether Postgres runs in a directory, able to answer or not. */
export async function isRunning(directory: string): Promise<boolean> {
  const postmaster = await lastPostmaster(directory);
  return postmaster !== undefined && (await runsIn(directory, postmaster.pid));
}

/** Removes a pid file that names another program's process: Postgres would take it for its own and not start. */
export async function dropForeignPidFile(directory: string): Promise<void> {
  const postmaster = await lastPostmaster(directory);
  if (postmaster === undefined || !exists(postmaster.pid) || (await runsIn(directory, postmaster.pid))) return;
  await rm(pidFileOf(directory), { force: true });
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return true;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== INVALID_PASSWORD) return false;
    throw new StartupError('the Postgres running there does not accept the password it was made with', {
      cause: error,
    });
  }
}

/**
 * The port Postgres answers on in a directory, or undefined where it does not run. Waits while it starts, recovers
 * or stops.
 *
 * @param urlOf the superuser's connection string for a port
 * @throws {StartupError} when it runs and cannot be used
 */
export async function runningPort(
  directory: string,
  urlOf: (port: number) => string,
  patienceMs = PATIENCE_MS,
): Promise<number | undefined> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const postmaster = await lastPostmaster(directory);
    if (postmaster === undefined || !(await runsIn(directory, postmaster.pid))) return undefined;
    if (await answers(urlOf(postmaster.port))) return postmaster.port;
    if (Date.now() > deadline) throw new StartupError(`the Postgres running there does not answer`);
    await delay(100);
  }
}
