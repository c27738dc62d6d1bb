import t from 'tap';
import { createFairQueue } from '../../src/platform/fair-queue.js';
import { createDeferred } from '../helpers/deferred.js';

const BOUNDS = { running: 1, waiting: 6, waitingOfOne: 3 };

/** Work that waits to be let go, and notes that it began. */
function openWork(order: string[]) {
  const gate = createDeferred();
  return {
    letGo: () => gate.resolve(),
    named: (name: string) => async () => {
      order.push(name);
      await gate.promise;
      return name;
    },
  };
}

t.test('parties take turns, in the order they came; the work of each keeps its own', async (t) => {
  const order: string[] = [];
  const { letGo, named } = openWork(order);
  const run = createFairQueue(BOUNDS);
  const work = [
    run('crowd', named('crowd 1')),
    run('crowd', named('crowd 2')),
    run('crowd', named('crowd 3')),
    run('crowd', named('crowd 4')),
    run('person', named('person 1')),
    run('other', named('other 1')),
  ];
  letGo();
  t.strictSame(await Promise.all(work), ['crowd 1', 'crowd 2', 'crowd 3', 'crowd 4', 'person 1', 'other 1']);
  t.strictSame(order, ['crowd 1', 'crowd 2', 'person 1', 'other 1', 'crowd 3', 'crowd 4']);
});

t.test('one party fills its share only; when all is full everybody is told to come back', async (t) => {
  const { letGo, named } = openWork([]);
  const run = createFairQueue(BOUNDS);
  const running = [1, 2, 3, 4].map(() => run('crowd', named('crowd')));
  await t.rejects(run('crowd', named('crowd')), { code: 'RATE_LIMITED', extras: { retry_after: 2 } });
  const others = ['a', 'b', 'c'].map((party) => run(party, named(party)));
  await t.rejects(run('d', named('d')), { code: 'SERVICE_UNAVAILABLE' });
  letGo();
  t.equal((await Promise.all([...running, ...others])).length, 7);
  t.equal(await run('d', async () => 'd'), 'd', 'there is room again');
});

t.test('work that fails makes room like any other', async (t) => {
  const run = createFairQueue(BOUNDS);
  const failing = () => Promise.reject(new Error('broke'));
  await Promise.all([1, 2, 3].map(() => t.rejects(run('a', failing), { message: 'broke' })));
  t.equal(await run('a', async () => 'done'), 'done');
});

t.end();
