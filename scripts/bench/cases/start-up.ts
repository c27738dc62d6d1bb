import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Measurement } from '../measure/closed-loop.js';
import { readProcessorTimes, sumTree } from '../measure/processes.js';
import { findPostgres, startServer } from '../server.js';
import type { Case } from './case.js';

/** Starts Node with nothing to do: what a start costs on this machine at the least. */
async function startBareNode(): Promise<Measurement> {
  const start = performance.now();
  await once(spawn(process.execPath, ['-e', ''], { stdio: 'ignore' }), 'exit');
  return { seconds: (performance.now() - start) / 1_000 };
}

/** Starts a server until it is ready, and stops it. */
async function start(directory: string): Promise<Measurement> {
  const server = await startServer(directory);
  const [times, postgres] = [await readProcessorTimes(), await findPostgres(directory)];
  await server.stop();
  const spent = times && { node: sumTree(times, server.pid), postgres: sumTree(times, postgres.pid) };
  return { seconds: server.startMs / 1_000, ...spent };
}

/** The first start of a server, which makes its database, and the second one. */
export const startUp: Case = {
  name: 'start',
  question: 'npm start once it is built, until it is ready: the first in a folder, and the second',
  compares: 'seconds',
  mostRounds: 3,
  warmsUp: false,
  open: async () => {
    const directories: string[] = [];
    let directory = '';
    const startFirst = async () => {
      directory = await mkdtemp(join(tmpdir(), 'tokenledger-bench-'));
      directories.push(directory);
      return start(directory);
    };
    return {
      contestants: [
        { name: 'bare Node', isReference: true, run: startBareNode },
        { name: 'first start', isReference: true, against: ['bare Node'], run: startFirst },
        { name: 'second start', run: () => start(directory) },
      ],
      close: async () => {
        for (const path of directories) await rm(path, { recursive: true, force: true });
      },
    };
  },
};
