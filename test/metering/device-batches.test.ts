import { randomUUID } from 'node:crypto';
import { createBatcher } from '../../src/metering/batcher.js';
import { AnyResult } from '../../src/platform/database/client/database.js';
import type { Json } from '../../src/platform/database/client/types.js';
import { openTestServer, type TestDevice } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t);
const { database } = server.backend;

/** A batcher over the real function, and the sizes of the calls it made. */
function realBatcher() {
  const sizes: number[] = [];
  const submit = createBatcher<Record<string, Json>, Json>(async (items) => {
    sizes.push(items.length);
    const outcomes = await database.call('meter_devices', { p_items: [...items] }, AnyResult);
    if (!Array.isArray(outcomes)) throw new Error('not a list of outcomes');
    return outcomes;
  });
  return { sizes, submit };
}

function debit(device: TestDevice, extra: Record<string, Json> = {}): Record<string, Json> {
  const item = { op: 'debit', device_id: device.id, token_version: 1, model: 'gpt-5', prompt_count: 1, reserve: false };
  return { ...item, key: null, reservation_id: null, ...extra };
}

async function devicesWith(tokens: number, count: number): Promise<TestDevice[]> {
  return Promise.all(Array.from({ length: count }, () => server.registerDevice(tokens)));
}

const malformed: readonly (readonly [title: string, extra: Record<string, Json>])[] = [
  ['a device id that is no UUID', { device_id: 'not-a-uuid' }],
  ['a model with a NUL', { model: 'gpt\u0000' }],
  ['a model that is too long for its column', { model: 'x'.repeat(201) }],
  ['a count that is no number', { prompt_count: 'many' }],
  ['a count beyond an integer', { prompt_count: 2 ** 40 }],
  ['a negative count', { prompt_count: -5 }],
  ['no count', { prompt_count: null }],
  ['no model', { model: null }],
  ['a key that is too long', { key: 'k'.repeat(256) }],
  ['an operation that does not exist', { op: 'refund' }],
];

for (const [title, extra] of malformed) {
  t.test(`one item in a batch of 64 with ${title} leaves 63 unharmed`, async (t) => {
    const devices = await devicesWith(5, 16);
    const { sizes, submit } = realBatcher();
    const items = Array.from({ length: 64 }, (_, n) => debit(devices[n % 16] ?? { id: '', token: '' }));
    items[21] = { ...items[21], ...extra };
    const outcomes = await Promise.allSettled(items.map((item) => submit(item)));
    t.equal(sizes[0], 64, 'they left together');
    t.strictSame(
      outcomes.flatMap(({ status }, n) => (status === 'rejected' ? [n] : [])),
      [21],
      'only the malformed one failed',
    );
    const debited = outcomes.filter((outcome) => outcome.status === 'fulfilled' && hasEvent(outcome.value));
    t.equal(debited.length, 63);
    const [row] = await server.database.sql<{ used: string }>(
      'select sum(used) as used from balances where subject_id = any ($1)',
      [devices.map(({ id }) => id)],
    );
    t.equal(row?.used, '63', 'each was charged once');
    await server.verifyLedger(t);
  });
}

function hasEvent(outcome: Json): boolean {
  return typeof outcome === 'object' && outcome !== null && 'event_id' in outcome;
}

t.test('300 calls in one turn leave in batches of 256 and 44, and all are charged', async (t) => {
  const devices = await devicesWith(100, 3);
  const { sizes, submit } = realBatcher();
  const items = Array.from({ length: 300 }, (_, n) => debit(devices[n % 3] ?? { id: '', token: '' }));
  await Promise.all(items.map((item) => submit(item)));
  t.strictSame(sizes, [256, 44]);
  const ids = devices.map(({ id }) => id);
  const balances = await server.database.sql('select used from balances where subject_id = any ($1)', [ids]);
  t.strictSame(balances, [{ used: '100' }, { used: '100' }, { used: '100' }]);
  await server.verifyLedger(t);
});

t.test('items of one device in one batch each see what the ones before left', async (t) => {
  const device = await server.registerDevice(2);
  const { sizes, submit } = realBatcher();
  const outcomes = await Promise.all([
    submit(debit(device, { op: 'balance' })),
    submit(debit(device)),
    submit(debit(device, { op: 'check' })),
    submit(debit(device)),
    submit(debit(device)),
    submit(debit(device, { op: 'balance' })),
  ]);
  t.strictSame(sizes, [6]);
  t.match(outcomes, [
    { remaining: 2, used: 0 },
    { remaining: 1 },
    { can_use: true, remaining: 1 },
    { remaining: 0 },
    { code: 'INSUFFICIENT_TOKENS', requested: 1, remaining: 0 },
    { remaining: 0, used: 2 },
  ]);
  await server.verifyLedger(t);
});

t.test('a key used twice in one batch is one event with one answer', async (t) => {
  const device = await server.registerDevice(5);
  const { submit } = realBatcher();
  const key = randomUUID();
  const [first, second, other] = await Promise.all([
    submit(debit(device, { key })),
    submit(debit(device, { key })),
    submit(debit(device, { key, prompt_count: 2 })),
  ]);
  t.match(first, { tokens_used: 1, remaining: 4 });
  t.strictSame(second, first);
  t.match(other, { code: 'IDEMPOTENCY_MISMATCH' });
  await server.verifyLedger(t);
});

t.test('a key of a hold is no key for a use in the same batch, and gives the hold again', async (t) => {
  const device = await server.registerDevice(5);
  const { sizes, submit } = realBatcher();
  const hold = debit(device, { op: 'check', reserve: true, key: randomUUID() });
  const [first, other, again] = await Promise.all([submit(hold), submit({ ...hold, op: 'debit' }), submit(hold)]);
  t.strictSame(sizes, [3]);
  t.match(first, { can_use: true, remaining: 4 });
  t.match(other, { code: 'IDEMPOTENCY_MISMATCH' });
  t.strictSame(again, first);
  t.strictSame(await submit(hold), first, 'also in a later batch');
  await server.verifyLedger(t);
});

t.test('one batch adds to the rollups there are and begins those there are not', async (t) => {
  const [known, fresh] = await Promise.all([server.registerDevice(10), server.registerDevice(10)]);
  const { sizes, submit } = realBatcher();
  await submit(debit(known));
  const batch = [debit(known), debit(fresh), debit(known, { model: 'o3' }), debit(known), debit(fresh)];
  await Promise.all(batch.map((item) => submit(item)));
  t.strictSame(sizes, [1, 5]);
  const rollups = await server.database.sql(
    `select subject_id, model, sum(events)::integer as events, sum(cost)::integer as cost
       from usage_rollups where subject_id = any ($1) group by 1, 2 order by 3, 2`,
    [[known.id, fresh.id]],
  );
  t.strictSame(rollups, [
    { subject_id: known.id, model: 'o3', events: 1, cost: 1 },
    { subject_id: fresh.id, model: 'gpt-5', events: 2, cost: 2 },
    { subject_id: known.id, model: 'gpt-5', events: 3, cost: 3 },
  ]);
  await server.verifyLedger(t);
});

t.test(
  'what a batch only asks of a device counts in the period that has begun, without its expired holds',
  async (t) => {
    const [spender, asker, holder] = await devicesWith(10, 3);
    if (spender === undefined || asker === undefined || holder === undefined) throw new Error('three were made');
    const { submit } = realBatcher();
    await Promise.all([
      submit(debit(spender)),
      submit(debit(asker)),
      submit(debit(holder, { op: 'check', reserve: true })),
    ]);
    await server.database.sql('update reservations set expires_at = now() where subject_id = $1', [holder.id]);
    const [, held] = await Promise.all([submit(debit(spender)), submit(debit(holder, { op: 'balance' }))]);
    t.match(held, { reserved: 0, remaining: 10 });

    await server.database.sql(`select private.close_period('system:monthly', null, 7)`);
    const answers = await Promise.all([
      submit(debit(spender)),
      submit(debit(asker, { op: 'balance' })),
      submit(debit(holder, { op: 'check' })),
    ]);
    t.match(answers, [{ remaining: 6 }, { allocated: 7, used: 0, remaining: 7 }, { can_use: true, remaining: 7 }]);
    await server.verifyLedger(t);
  },
);

t.end();
