import { createProgress } from '../../../src/platform/database/replica/progress.js';
import t from '../../helpers/run/tap.js';

t.test('how old something is, is told by where the primary was when', async (t) => {
  const progress = createProgress(10_000);
  t.equal(progress.lagOf(1_000, 0), Number.POSITIVE_INFINITY, 'nobody knows');
  progress.note(1_000, 100);
  progress.note(2_000, 200);
  progress.note(3_000, 300);
  t.equal(progress.lagOf(300, 3_500), 500);
  t.equal(progress.lagOf(299, 3_500), 1_500, 'what is not all there counts as of before');
  t.equal(progress.lagOf(99, 3_500), Number.POSITIVE_INFINITY);
  t.equal(progress.lagOf(300, 2_500), 500, 'what the primary had later says nothing about then');
});

t.test('answers that come in another order than they were asked for change nothing', async (t) => {
  const progress = createProgress(10_000);
  progress.note(1_000, 100);
  progress.note(3_000, 300);
  progress.note(2_000, 250);
  progress.note(3_100, 290);
  t.equal(progress.lagOf(299, 3_200), 2_200);
  t.equal(progress.lagOf(300, 3_200), 200);
});

t.test('after a restore, the log that is shorter counts from when the longer one is forgotten', async (t) => {
  const progress = createProgress(10_000);
  progress.note(1_000, 5_000);
  progress.note(2_000, 10);
  t.equal(progress.lagOf(10, 2_500), Number.POSITIVE_INFINITY);
  progress.note(12_000, 20);
  t.equal(progress.lagOf(20, 12_500), 500);
});

t.test('what is kept has an end', async (t) => {
  const progress = createProgress(1_000);
  for (let at = 0; at <= 100_000; at += 60) progress.note(at, at);
  t.equal(progress.lagOf(99_500, 100_000), 520);
  t.equal(progress.lagOf(10, 100_000), Number.POSITIVE_INFINITY);
});
