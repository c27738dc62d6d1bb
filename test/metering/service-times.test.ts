import { createServiceTimes } from '../../src/metering/service-times.js';
import t from '../helpers/run/tap.js';

/** Notes calls of changing size whose duration a rule says. */
function measure(toMs: (items: number) => number) {
  const times = createServiceTimes(256);
  for (let call = 0; call < 200; call += 1) {
    const items = 1 + ((call * 37) % 256);
    times.note(items, toMs(items));
  }
  return times;
}

t.test('calls stay large where it is the call that takes the time, and not its items', async (t) => {
  t.equal(createServiceTimes(256).batchSize(), 256, 'nothing is known yet');
  t.equal(measure(() => 1_000).batchSize(), 256);
  t.equal(measure((items) => 2 + items * 0.05).batchSize(), 256);
});

t.test('calls are cut down where each item takes long, though never to a few', async (t) => {
  t.equal(measure((items) => 5 + items).batchSize(), 100);
  t.equal(measure((items) => items * 100).batchSize(), 32);
});

t.test('how long an item will wait is told from how long calls take', async (t) => {
  t.equal(createServiceTimes(256).estimateWait(10_000), 0, 'nothing is known yet');
  const slow = measure(() => 1_000);
  t.equal(Math.round(slow.estimateWait(0)), 500);
  t.equal(Math.round(slow.estimateWait(600)), 2_500);
  t.equal(Math.round(slow.estimateCall()), 1_000);
});
