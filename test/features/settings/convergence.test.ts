import assert from 'node:assert/strict';
import fc from 'fast-check';
import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { assertNewestStands, type Made, OfflineDevice } from '../../helpers/offline-devices.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';

const server = await openTestServer(t);
const user = await registerUser(server);

/** Opens the settings of a person who never had any. */
async function openSettings() {
  for (const table of ['settings', 'settings_entries', 'settings_versions', 'private.future_changes']) {
    await server.database.sql(`delete from ${table} where user_id = $1`, [user.id]);
  }
  return createSettingsClient(user);
}

const NAMES = ['a', 'b', 'c'] as const;
const DEVICES = ['', 'laptop', 'phone', 'tablet'] as const;
const HOUR_MS = 60 * 60 * 1_000;

/** One action of a device. It sends its changes when it is online, in any order, and possibly more than once. */
type Step =
  | { readonly kind: 'change'; readonly device: number; readonly name: string; readonly value: number | null }
  | { readonly kind: 'push'; readonly device: number; readonly pick: number; readonly answerLost: boolean }
  | { readonly kind: 'repeat'; readonly device: number; readonly pick: number }
  | { readonly kind: 'pull'; readonly device: number }
  | { readonly kind: 'set clock'; readonly device: number; readonly offset: number };

const device = fc.nat({ max: DEVICES.length - 1 });
/** How far off a clock is: not at all, a little, or very, in both directions. */
const offset = fc.oneof(
  fc.constant(0),
  fc.integer({ min: -20, max: 20 }),
  fc.integer({ min: -HOUR_MS, max: HOUR_MS }),
  fc.constantFrom(-20 * 365 * 24 * HOUR_MS, 20 * 365 * 24 * HOUR_MS),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      device,
      name: fc.constantFrom(...NAMES),
      value: fc.option(fc.nat({ max: 9 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('push' as const), device, pick: fc.nat(), answerLost: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('repeat' as const), device, pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pull' as const), device }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('set clock' as const), device, offset }) },
);

async function perform(devices: readonly OfflineDevice[], step: Step, made: Made[]): Promise<void> {
  const acting = devices[step.device];
  if (acting === undefined) return;
  if (step.kind === 'change') made.push(acting.change(step.name, step.value));
  if (step.kind === 'set clock') acting.offset = step.offset;
  if (step.kind === 'pull') await acting.pull();
  const queue = step.kind === 'push' ? acting.unsent : step.kind === 'repeat' ? acting.sent : [];
  const chosen = 'pick' in step ? queue[step.pick % Math.max(queue.length, 1)] : undefined;
  if (chosen !== undefined) await acting.send(chosen, step.kind === 'push' && step.answerLost);
}

const toDocument = (entries: Iterable<readonly [string, unknown]>) => Object.fromEntries([...entries].sort());

t.test(
  'devices with wrong clocks, offline, reordering and repeating, all end with the newest of everything',
  async (t) => {
    let pushed = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
        fc.array(offset, { minLength: DEVICES.length, maxLength: DEVICES.length }),
        async (steps, offsets) => {
          const settings = await openSettings();
          const devices = DEVICES.map((id, n) => new OfflineDevice(id, settings, offsets[n] ?? 0));
          const made: Made[] = [];
          for (const step of steps) await perform(devices, step, made);
          // Every device comes online, sends what is left (the newest first), sends everything once more, and pulls.
          for (const each of devices) for (const change of each.unsent.toReversed()) await each.send(change, false);
          const before = await settings.read();
          for (const each of devices) for (const change of each.sent) await each.send(change, false);
          for (const each of devices) await each.pull();

          const end = await settings.read();
          assert.equal(end.version, before.version, 'what is sent again changes nothing');
          const expected = toDocument(Object.entries(end.settings));
          for (const { id, known } of devices) assert.deepEqual(toDocument(known), expected, `device ${id}`);
          for (const name of NAMES)
            assertNewestStands(
              made.filter((change) => change.name === name),
              end.settings[name],
            );
          pushed += made.length;
        },
      ),
      { numRuns: 120 },
    );
    t.ok(pushed > 1_000, `${pushed} changes`);
    await server.verifyLedger(t);
  },
);

t.test('changes within one millisecond end the same in whatever order they come', async (t) => {
  const at = Date.now();
  const change = fc.record({
    device: fc.constantFrom(...DEVICES),
    name: fc.constantFrom(...NAMES),
    value: fc.option(fc.nat({ max: 3 })),
    updated_at: fc.integer({ min: at - 2, max: at }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 2, maxLength: 12 }),
      fc.infiniteStream(fc.nat()),
      async (all, order) => {
        const ends: unknown[] = [];
        const ranks = all.map(() => order.next().value);
        const shuffled = all.map((_, n) => n).sort((one, other) => (ranks[one] ?? 0) - (ranks[other] ?? 0));
        for (const sequence of [all, all.toReversed(), shuffled.flatMap((n) => all[n] ?? [])]) {
          const { push, pull } = await openSettings();
          for (const { device, name, value, updated_at } of sequence) {
            const said = value === null ? ({ deleted: true, updated_at } as const) : { value, updated_at };
            await push({ [name]: said }, device === '' ? undefined : device);
          }
          const entries = Object.entries((await pull()).changes).map(([name, { version: _, ...standing }]) => [
            name,
            standing,
          ]);
          ends.push(Object.fromEntries(entries.sort()));
        }
        t.strictSame(ends[1], ends[0]);
        t.strictSame(ends[2], ends[0]);
      },
    ),
    { numRuns: 25 },
  );
});

t.end();
