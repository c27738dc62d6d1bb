import { setImmediate as nextTurn } from 'node:timers/promises';
import { createBatcher } from '../../src/metering/batcher.js';
import { DatabaseError } from '../../src/platform/database/client/database-error.js';
import t, { type Test } from '../helpers/run/tap.js';

function failure(code: string): DatabaseError {
  return new DatabaseError({ status: 400, code, message: 'refused', details: null });
}

/** A send function whose calls wait until they are let go, one after the other. */
function gatedSend() {
  const batches: number[][] = [];
  const gates: (() => void)[] = [];
  return {
    batches,
    send: async (items: readonly number[]) => {
      batches.push([...items]);
      await new Promise<void>((resolve) => gates.push(resolve));
      return items.map((item) => item * 10);
    },
    letGo: async () => {
      gates.shift()?.();
      // The answer travels through promises only; the next batch has left when they are done.
      await nextTurn();
      await nextTurn();
    },
  };
}

/** Has calls take no time: after slow ones, also on a machine that stood still, batches are smaller. */
function stopClock(t: Test) {
  t.intercept(performance, 'now', { value: () => 0 });
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);

t.test('a call while nothing is under way leaves at once, with those of the same turn', async (t) => {
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send);
  const answers = Promise.all([submit(1), submit(2)]);
  t.strictSame(batches, [], 'not before the turn is over');
  await nextTurn();
  t.strictSame(batches, [[1, 2]], 'and not a turn later');
  await letGo();
  t.strictSame(await answers, [10, 20]);

  const later = submit(3);
  await nextTurn();
  t.strictSame(batches, [[1, 2], [3]], 'idle again, the next one leaves at once as well');
  await letGo();
  t.equal(await later, 30);
});

t.test('calls made while one is under way collect into batches of at most 256, in order', async (t) => {
  stopClock(t);
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send);
  const first = submit(0);
  await nextTurn();
  const rest = Promise.all(range(1, 600).map((item) => submit(item)));
  await nextTurn();
  t.equal(batches.length, 1, 'one call at a time');
  for (const expected of [2, 3, 4]) {
    await letGo();
    t.equal(batches.length, expected);
  }
  await letGo();
  t.strictSame(
    batches.map(({ length }) => length),
    [1, 256, 256, 88],
  );
  t.strictSame(batches.flat(), range(0, 601), 'nothing was overtaken');
  t.equal(await first, 0);
  t.strictSame(
    await rest,
    range(1, 600).map((item) => item * 10),
    'every caller got its own outcome',
  );
});

t.test('the calls of one subject arrive in the order they were made, over many batches', async (t) => {
  const arrived = new Map<string, number[]>();
  const submit = createBatcher(async (items: readonly { subject: string; n: number }[]) => {
    await nextTurn();
    for (const { subject, n } of items) arrived.set(subject, [...(arrived.get(subject) ?? []), n]);
    return items.map(({ n }) => n);
  });
  const calls: Promise<number>[] = [];
  for (const n of range(0, 500)) {
    calls.push(submit({ subject: `s${n % 7}`, n }));
    if (n % 50 === 0) await nextTurn();
  }
  t.strictSame(await Promise.all(calls), range(0, 500));
  t.equal(arrived.size, 7);
  for (const [subject, order] of arrived) {
    t.strictSame(
      order,
      [...order].sort((a, b) => a - b),
      subject,
    );
  }
});

t.test('a call that fails fails its own items only, and the next batch works', async (t) => {
  const batches: number[][] = [];
  const submit = createBatcher(async (items: readonly number[]) => {
    batches.push([...items]);
    await nextTurn();
    if (items.includes(1)) throw new Error('no answer');
    return items;
  });
  const failing = Promise.allSettled([submit(1), submit(2)]);
  await nextTurn();
  const working = Promise.all([submit(3), submit(4)]);
  t.strictSame(
    (await failing).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.strictSame(await working, [3, 4]);
  t.strictSame(
    batches,
    [
      [1, 2],
      [3, 4],
    ],
    'the failed call was not repeated',
  );
});

t.test(
  'an item the database cannot read costs only itself, and its neighbours are sent once more, not twice',
  async (t) => {
    const committed: number[] = [];
    const submit = createBatcher(async (items: readonly number[]) => {
      if (items.includes(13) || items.includes(40)) throw failure('22P02');
      committed.push(...items);
      return items.map((item) => item * 10);
    });
    const outcomes = await Promise.allSettled(range(0, 64).map((item) => submit(item)));
    const rejected = outcomes.flatMap(({ status }, item) => (status === 'rejected' ? [item] : []));
    t.strictSame(rejected, [13, 40]);
    for (const [item, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') t.equal(outcome.value, item * 10);
      else t.match(outcome.reason, { code: '22P02' });
    }
    t.strictSame(
      committed,
      range(0, 64).filter((item) => item !== 13 && item !== 40),
      'each took effect once, in order',
    );
  },
);

t.test('a call that may have committed is never sent again', async (t) => {
  for (const code of ['57014', '08006', '40001', '', 'PGRST000', '42501']) {
    let calls = 0;
    const submit = createBatcher(async (_items: readonly number[]): Promise<number[]> => {
      calls += 1;
      throw failure(code);
    });
    const outcomes = await Promise.allSettled(range(0, 8).map((item) => submit(item)));
    t.notOk(outcomes.some(({ status }) => status === 'fulfilled'));
    t.equal(calls, 1, `after ${code || 'no answer'}`);
  }
});

t.test('an answer with a missing outcome is an error for its callers, and the next batch works', async (t) => {
  const submit = createBatcher(async (items: readonly number[]) => items.filter((item) => item !== 1));
  const outcomes = await Promise.allSettled([submit(0), submit(1), submit(2)]);
  t.strictSame(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
    'nobody is given the outcome of a neighbour',
  );
  t.equal(await submit(5), 5);
});

t.test('what would wait too long is refused at once, and nothing of it is sent', async (t) => {
  stopClock(t);
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send, { bounds: { length: 300 } });
  const first = submit(0);
  await nextTurn();
  const waiting = Promise.all(range(1, 300).map((item) => submit(item)));
  await t.rejects(submit(301), { code: 'SERVICE_UNAVAILABLE' });
  for (let call = 0; call < 3; call += 1) await letGo();
  t.equal(await first, 0);
  t.equal((await waiting).length, 300);
  t.strictSame(batches.flat(), range(0, 301));
  t.strictSame(await Promise.all([submit(302), letGo(), nextTurn().then(letGo)]).then(([outcome]) => outcome), 3_020);
});

t.test('what has waited too long is refused while a call is still under way', async (t) => {
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send, { bounds: { longestMs: 40 } });
  const first = submit(0);
  await nextTurn();
  await t.rejects(submit(1), { code: 'SERVICE_UNAVAILABLE' });
  await letGo();
  t.equal(await first, 0);
  t.strictSame(batches, [[0]]);
});

t.test('nothing is sent for whom nobody waits any more', async (t) => {
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send);
  const sender = { destroyed: false };
  const first = submit(0, sender);
  await nextTurn();
  const [gone, stays] = [submit(1, sender), submit(2, { destroyed: false })];
  sender.destroyed = true;
  const refused = t.rejects(gone, { code: 'SERVICE_UNAVAILABLE' });
  await letGo();
  await letGo();
  await refused;
  t.strictSame([await first, await stays], [0, 20], 'what was sent before is answered all the same');
  t.strictSame(batches, [[0], [2]]);
});

t.test('what must not be lost waits however long it takes', async (t) => {
  const { batches, send, letGo } = gatedSend();
  const submit = createBatcher(send, { canShed: (item) => item < 100, bounds: { length: 1, longestMs: 20 } });
  const first = submit(0);
  await nextTurn();
  const kept = Promise.all(range(100, 5).map((item) => submit(item, { destroyed: true })));
  await t.rejects(submit(1), { code: 'SERVICE_UNAVAILABLE' }, 'there is no room for more');
  await letGo();
  await letGo();
  t.equal(await first, 0);
  t.strictSame(
    await kept,
    range(100, 5).map((item) => item * 10),
  );
  t.strictSame(batches, [[0], range(100, 5)]);
});

t.test('with several lanes batches of different subjects are under way together, those of one never', async (t) => {
  const underWay = new Set<number>();
  let most = 0;
  const arrived = new Map<number, number[]>();
  const submit = createBatcher(
    async (items: readonly { subject: number; n: number }[]) => {
      const subjects = new Set(items.map(({ subject }) => subject));
      for (const subject of subjects) {
        t.notOk(underWay.has(subject), `subject ${subject} is in one batch at a time`);
        underWay.add(subject);
      }
      most = Math.max(most, underWay.size);
      await nextTurn();
      for (const { subject, n } of items) arrived.set(subject, [...(arrived.get(subject) ?? []), n]);
      for (const subject of subjects) underWay.delete(subject);
      return items.map(({ n }) => n);
    },
    { lanes: 3, toSubject: ({ subject }) => `subject ${subject}` },
  );
  const calls: Promise<number>[] = [];
  for (const n of range(0, 200)) {
    calls.push(submit({ subject: n % 9, n }));
    if (n % 20 === 0) await nextTurn();
  }
  t.strictSame(await Promise.all(calls), range(0, 200));
  for (const order of arrived.values())
    t.strictSame(
      order,
      [...order].sort((a, b) => a - b),
    );
  t.equal(arrived.size, 9);
  t.ok(most > 1);
});
