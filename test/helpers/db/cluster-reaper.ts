import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning } from '../../../src/platform/database/embedded/postmaster.js';

/**
 * A process that outlives the one that started it for a moment: it waits until its standard input ends, which it does
 * however that process ends, then ends the Postgres below the given directory and removes the directory.
 */
const [directory = ''] = process.argv.slice(2);
const cluster = join(directory, 'postgres');

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
for await (const _ of process.stdin);

// Postgres may be starting at this very moment, or `cp` still filling the directory: until all is gone.
for (let attempt = 0; attempt < 100; attempt++) {
  if (await isRunning(cluster)) {
    const pid = Number((await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0]);
    // Immediate shutdown: there is nothing to be kept.
    if (pid > 0) process.kill(pid, 'SIGQUIT');
  } else if (await removed()) break;
  await delay(50);
}

async function removed(): Promise<boolean> {
  return rm(directory, { recursive: true }).then(
    () => true,
    () => false,
  );
}
