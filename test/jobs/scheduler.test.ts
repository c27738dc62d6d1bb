import { startJobs } from '../../src/jobs/scheduler.js';
import { createLogger } from '../../src/platform/logging.js';
import { keepingLogger } from '../helpers/http/log-lines.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

t.test('a job that fails is logged by its name, and the next one runs all the same', async (t) => {
  const { lines, logger } = keepingLogger();
  let runs = 0;
  const failing = { name: 'sweeping', run: () => Promise.reject(new Error('no broom')) };
  const counting = { name: 'counting', run: async () => (runs += 1) };
  const stop = startJobs(logger, [failing, counting]);
  await untilTrue(async () => runs === 1);
  stop();
  t.match(JSON.parse(lines[0] ?? ''), { msg: 'sweeping failed', err: { message: 'no broom' } });
});

t.test('a round that takes longer than the interval is never joined by another', async (t) => {
  let [runs, running, most, ticks] = [0, 0, 0, 0];
  const ticker = setInterval(() => {
    ticks += 1;
  }, 1);
  const slow = async () => {
    running += 1;
    most = Math.max(most, running);
    const seen = ticks;
    await untilTrue(async () => ticks > seen + 5);
    running -= 1;
    runs += 1;
  };
  const stop = startJobs(createLogger('silent'), [{ name: 'slow', run: slow }], 1);
  await untilTrue(async () => runs >= 3);
  stop();
  await untilTrue(async () => running === 0);
  clearInterval(ticker);
  t.equal(most, 1, 'one round at a time');
});
