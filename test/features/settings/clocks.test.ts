import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { createSettingsClient } from '../../helpers/settings.js';

const server = await openTestServer(t);
const HOUR_MS = 60 * 60 * 1_000;
const now = Date.now();

const openSettings = async () => createSettingsClient(await registerUser(server));
const set = (value: unknown, updated_at: number) => ({ value, updated_at });

t.test('a change from the future counts as made when it came, and never again later', async (t) => {
  const { push, pull } = await openSettings();
  const ahead = { k: set('from the future', Date.now() + HOUR_MS) };
  const before = Date.now();
  await push(ahead, 'fast');
  const after = Date.now();
  const standing = (await pull()).changes['k']?.updated_at ?? 0;
  t.ok(before <= standing && standing <= after, 'it counts as made now');

  await push({ k: set('later', standing + 1) }, 'right');
  for (const device of ['fast', 'fast']) {
    const { settings, overruled } = await push(ahead, device);
    t.strictSame(settings, { k: 'later' });
    t.match(overruled, { k: { value: 'later', device: 'right', updated_at: standing + 1 } });
  }
});

t.test('a repeated change from the future is known again also once its time has come', async (t) => {
  const { push } = await openSettings();
  const soon = { k: set('fast', Date.now() + 300) };
  await push(soon, 'fast');
  await push({ k: set('later', Date.now() + HOUR_MS) }, 'right');
  while (Date.now() <= soon.k.updated_at) await push({}, 'fast');
  t.strictSame((await push(soon, 'fast')).settings, { k: 'later' });
});

t.test('the changes of a device whose clock is ahead keep their order, however they come', async (t) => {
  const { push } = await openSettings();
  await push({ k: set('second', now + 2 * HOUR_MS) }, 'fast');
  const late = await push({ k: set('first', now + HOUR_MS) }, 'fast');
  t.strictSame(late.settings, { k: 'second' });
  const next = await push({ k: set('third', now + 3 * HOUR_MS) }, 'fast');
  t.strictSame(next.settings, { k: 'third' });
  await push({ k: set('other', Date.now() + HOUR_MS) }, 'right');
  t.strictSame((await push({ k: set('zeroth', now + HOUR_MS / 2) }, 'fast')).settings, { k: 'other' });
});

t.test('once a clock that was ahead is right again, its changes count again', async (t) => {
  const { push } = await openSettings();
  const { last_synced_at } = await push({ k: set('ahead', now + 1_000 * HOUR_MS) }, 'fast');
  const right = Date.parse(last_synced_at ?? '') + 5;
  while (Date.now() <= right) await push({}, 'fast');
  t.strictSame((await push({ k: set('right', right) }, 'fast')).settings, { k: 'right' });
});

t.test('what is remembered of clocks that are ahead is bounded', async (t) => {
  const user = await registerUser(server);
  const { push } = createSettingsClient(user);
  for (let round = 0; round < 3; round += 1) {
    const changes = Array.from({ length: 1_500 }, (_, n) => [`k${n}`, set(round, now + HOUR_MS + round)] as const);
    await push(Object.fromEntries(changes), 'fast');
  }
  const [row] = await server.database.sql<{ count: number }>(
    'select count(*)::integer from private.future_changes where user_id = $1',
    [user.id],
  );
  t.equal(row?.count, 2_000);
});

t.end();
