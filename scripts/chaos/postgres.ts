import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { openCluster } from '../../src/platform/database/embedded/cluster.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { exists, listFamily, sendSignal } from './processes.js';

const run = promisify(execFile);
const DISK_MEGABYTES = 640;
/** What is changed behind the server's back is part of the play. */
const BY_HAND = '-c tokenledger.by_hand=chaos';

/** A Postgres that is thrown away, made to be hurt. */
export interface Postgres {
  readonly port: number;
  /** Connection string of the superuser, around every proxy. */
  readonly adminUrl: string;
  /** Where its data is. */
  readonly directory: string;
  /** Whether its data is on a small disk of its own, which can be filled. */
  readonly hasOwnDisk: boolean;
  /** Sends a signal to all of its processes. */
  readonly signal: (signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT') => Promise<void>;
  /** Starts it where it does not run. */
  readonly restart: () => Promise<void>;
  readonly sql: <Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
  /** Returns a connection of the superuser, which the caller ends. */
  readonly connect: () => Promise<pg.Client>;
  readonly close: () => Promise<void>;
}

/** Puts a small disk, which is memory, at a path; returns whether that is allowed here. */
async function mountDisk(path: string): Promise<boolean> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  return run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MEGABYTES}m`, 'tmpfs', path]).then(
    () => true,
    () => false,
  );
}

/** Starts a Postgres with our schema. @param wantsDisk whether to put it on a disk of its own, where root may */
export async function openPostgres(wantsDisk: boolean): Promise<Postgres> {
  const home = await mkdtemp(join(tmpdir(), 'tokenledger-chaos-'));
  const hasOwnDisk = wantsDisk && (await mountDisk(home));
  const directory = join(home, 'postgres');
  const password = randomBytes(24).toString('base64url');
  // Only processes die, never the machine: what Postgres wrote is in the system's hands.
  const settings = ['fsync=off', 'max_wal_size=128MB', 'shared_buffers=32MB'];
  const cluster = await openCluster({ directory, password, settings });
  await migrate(cluster.adminUrl);

  const connect = async () => {
    const client = new pg.Client({ connectionString: cluster.adminUrl, application_name: 'chaos', options: BY_HAND });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  const readPid = async () => Number((await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n')[0]);
  const signal: Postgres['signal'] = async (name) => {
    const family = await listFamily(await readPid());
    for (const pid of family) sendSignal(pid, name);
    if (name === 'SIGKILL') while (family.some(exists)) await delay(20);
  };
  return {
    port: cluster.port,
    adminUrl: cluster.adminUrl,
    directory,
    hasOwnDisk,
    signal,
    restart: cluster.restart,
    connect,
    sql: async (text, values = []) => {
      const client = await connect();
      try {
        return (await client.query(text, [...values])).rows;
      } finally {
        await client.end();
      }
    },
    close: async () => {
      await cluster.stop();
      if (hasOwnDisk) await run('umount', [home]);
      await rm(home, { recursive: true, force: true });
    },
  };
}
