import { Gauge } from 'prom-client';
import { registry } from './registry.js';

/** What a pool of connections says of itself. */
interface Pool {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

const pools = new Set<Pool>();

new Gauge({
  name: 'tokenledger_database_connections',
  help: 'Connections to the database that are busy or idle, and calls that wait for one.',
  labelNames: ['state'],
  registers: [registry],
  collect() {
    let [busy, idle, waiting] = [0, 0, 0];
    for (const { totalCount, idleCount, waitingCount } of pools) {
      busy += totalCount - idleCount;
      idle += idleCount;
      waiting += waitingCount;
    }
    this.set({ state: 'busy' }, busy);
    this.set({ state: 'idle' }, idle);
    this.set({ state: 'waiting' }, waiting);
  },
});

/** Has a pool's connections counted. @returns ends it */
export function watchPool(pool: Pool): () => void {
  pools.add(pool);
  return () => pools.delete(pool);
}
