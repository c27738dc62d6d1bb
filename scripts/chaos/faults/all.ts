import type { Random } from '../random.js';
import type { Stage } from '../stage.js';
import { cutClients, cutDatabase, delayDatabase, loseClientAnswers, loseDatabaseAnswers } from './network.js';
import {
  crossMonth,
  exhaustConnections,
  fillDisk,
  freezePostgres,
  killPostgres,
  terminateBackends,
} from './postgres.js';
import { breakPooler, breakRedis, endServer, killWorker, reloadWorkers, shiftClocks } from './servers.js';

/** Something that breaks. */
export interface Fault {
  readonly name: string;
  /** Breaks it, waits, and mends it; returns what was done. */
  readonly run: (stage: Stage, random: Random) => Promise<string>;
}

export const FAULTS: readonly Fault[] = [
  { name: 'kill-server', run: (stage, random) => endServer(stage, random, 'SIGKILL') },
  { name: 'stop-server', run: (stage, random) => endServer(stage, random, 'SIGTERM') },
  { name: 'kill-postgres', run: killPostgres },
  { name: 'freeze-postgres', run: freezePostgres },
  { name: 'terminate-backends', run: terminateBackends },
  { name: 'cut-database', run: cutDatabase },
  { name: 'delay-database', run: delayDatabase },
  { name: 'lose-database-answers', run: loseDatabaseAnswers },
  { name: 'cut-clients', run: cutClients },
  { name: 'lose-client-answers', run: loseClientAnswers },
  { name: 'exhaust-connections', run: exhaustConnections },
  { name: 'kill-worker', run: killWorker },
  { name: 'reload-workers', run: reloadWorkers },
  { name: 'break-redis', run: breakRedis },
  { name: 'shift-clocks', run: shiftClocks },
  { name: 'cross-month', run: crossMonth },
  { name: 'fill-disk', run: fillDisk },
];

const WORKERS_ONLY: readonly string[] = ['kill-worker', 'reload-workers'];

/** What breaks where three servers are behind nginx, over PgBouncer, and have no workers. */
export const FAULTS_OF_MANY: readonly Fault[] = [
  ...FAULTS.filter(({ name }) => !WORKERS_ONLY.includes(name)),
  { name: 'break-pooler', run: breakPooler },
];
