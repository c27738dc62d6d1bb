import { availableParallelism } from 'node:os';
import { parseConfig } from '../../src/config/config.js';
import { SUPERVISOR_CONNECTIONS, toWorkerPoolSize } from '../../src/config/pool-size.js';
import t from '../helpers/run/tap.js';

t.test('WORKERS is one process by default, a number of them, or one a core', async (t) => {
  t.equal(parseConfig({}).workers, 1);
  t.equal(parseConfig({ WORKERS: '' }).workers, 1);
  t.equal(parseConfig({ WORKERS: '4' }).workers, 4);
  t.equal(parseConfig({ WORKERS: 'auto' }).workers, Math.min(availableParallelism(), 32));
});

t.test('anything else is refused by name', async (t) => {
  for (const WORKERS of ['0', '-1', '33', '1.5', 'max']) {
    t.throws(() => parseConfig({ WORKERS }), { message: /^Bad configuration: WORKERS is not valid/ });
  }
});

t.test('workers share the connections of the machine, and each has one at least', async (t) => {
  t.equal(toWorkerPoolSize(12, 2), 5);
  t.equal(toWorkerPoolSize(1, 8), 1);
  for (const workers of [1, 2, 3, 11]) {
    t.ok(workers * toWorkerPoolSize(12, workers) + SUPERVISOR_CONNECTIONS <= 12, `${workers} workers`);
  }
});
