import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cluster, openCluster } from '../../../src/platform/database/embedded/cluster.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { copyTemplate, FAST_SETTINGS } from './template.js';

const REAPER = join(PROJECT_ROOT, 'dist/test/helpers/db/cluster-reaper.js');

/** A migrated Postgres that ends, and whose files go, with this process: also where that is killed. */
export interface ThrowawayCluster extends Cluster {
  /** Ends Postgres and removes its files; otherwise that happens when this process is gone. */
  readonly remove: () => Promise<void>;
}

/** Starts the process that removes a directory, and the Postgres in it, once the returned function is called or we are gone. */
function startReaper(directory: string): () => Promise<void> {
  // In a session of its own, so that Ctrl-C in the terminal does not reach it.
  const reaper = spawn(process.execPath, [REAPER, directory], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  const ended = once(reaper, 'exit');
  reaper.unref();
  const { stdin } = reaper;
  stdin.on('error', () => {});
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  return async () => {
    reaper.ref();
    stdin.end();
    await ended;
  };
}

/**
 * Starts a Postgres from a copy of the template cluster.
 * @param prepare changes the copy before it starts
 */
export async function openThrowawayCluster(
  settings: readonly string[] = [],
  prepare: (directory: string, password: string) => Promise<void> = async () => {},
): Promise<ThrowawayCluster> {
  const parent = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
  const remove = startReaper(parent);
  const directory = join(parent, 'postgres');
  const password = await copyTemplate(directory);
  await prepare(directory, password);
  return { ...(await openCluster({ directory, password, settings: [...FAST_SETTINGS, ...settings] })), remove };
}
