import { availableParallelism } from 'node:os';
import { parseConfig } from '../../src/config/config.js';
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
