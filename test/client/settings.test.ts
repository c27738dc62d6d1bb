import type { ClientOptions, Resolution, SettingConflict } from '../../src/client/client.js';
import { registerUser } from '../helpers/accounts.js';
import { memoryStorage, openClient, openNetwork } from '../helpers/client.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t);
const url = await server.listen();

/** Opens a person's machines, one after the other, each with a storage of its own. */
async function openMachines() {
  const person = await registerUser(server);
  return async (options: Partial<ClientOptions> & { network?: ReturnType<typeof openNetwork> } = {}) => {
    const client = openClient(t, url, { storage: memoryStorage(), ...options });
    await client.account.signIn(person.email, person.password);
    return client.settings;
  };
}

t.test('what is changed on one machine is on the others, deletions too', async (t) => {
  const machine = await openMachines();
  const [laptop, desktop] = [await machine(), await machine()];
  await laptop.set('theme', 'dark');
  await laptop.set('size', { editor: 14 });
  t.strictSame(await laptop.all(), { theme: 'dark', size: { editor: 14 } }, 'at once, without a network');
  await laptop.sync();
  t.strictSame(await desktop.sync(), { theme: 'dark', size: { editor: 14 } });
  await desktop.remove('theme');
  await desktop.sync();
  t.strictSame(await laptop.sync(), { size: { editor: 14 } });
  t.equal(await laptop.get('theme'), undefined);
});

t.test('changes without a network are kept, also for the next start, and told to who listens', async (t) => {
  const machine = await openMachines();
  const [storage, network] = [memoryStorage(), openNetwork()];
  const laptop = await machine({ storage, network });
  const told: object[] = [];
  const desktop = await machine({ onSettingsChange: (values) => told.push(values) });
  network.state = 'is down';
  await laptop.set('theme', 'dark');
  await t.rejects(laptop.sync(), { code: 'NETWORK_ERROR' });
  network.state = 'loses';
  await t.rejects(laptop.sync(), { code: 'NETWORK_ERROR' });
  const next = openClient(t, url, { storage });
  t.strictSame(await next.settings.sync(), { theme: 'dark' });
  await desktop.sync();
  await desktop.sync();
  t.strictSame(told, [{ theme: 'dark' }]);
});

t.test('a setting may have any name, also one that all objects have', async (t) => {
  const machine = await openMachines();
  const conflicts: string[] = [];
  const onConflict = ({ name }: SettingConflict): Resolution => {
    conflicts.push(name);
    return 'mine';
  };
  const [laptop, desktop] = [await machine(), await machine({ onConflict })];
  t.equal(await laptop.get('constructor'), undefined);
  await laptop.set('toString', 'x');
  await laptop.set('valueOf', null);
  await laptop.sync();
  const expected = { toString: 'x', valueOf: null };
  t.strictSame(Object.entries(await desktop.sync()).sort(), Object.entries(expected).sort());
  t.strictSame(conflicts, []);
  await desktop.remove('toString');
  t.equal(await desktop.get('toString'), undefined);
});

t.test('without a decision the newest change wins', async (t) => {
  const machine = await openMachines();
  const [laptop, desktop] = [await machine(), await machine()];
  await laptop.set('theme', 'older');
  await desktop.set('theme', 'newer');
  await desktop.sync();
  t.strictSame(await laptop.sync(), { theme: 'newer' });
  await desktop.set('theme', 'older');
  await laptop.set('theme', 'newest');
  await desktop.sync();
  t.strictSame(await laptop.sync(), { theme: 'newest' });
  t.strictSame(await desktop.sync(), { theme: 'newest' });
});

t.test('a conflict is decided by whom it concerns', async (t) => {
  const machine = await openMachines();
  const asked: SettingConflict[] = [];
  let resolution: Resolution = 'theirs';
  const onConflict = (conflict: SettingConflict) => {
    asked.push(conflict);
    return resolution;
  };
  const [laptop, desktop] = [await machine({ onConflict }), await machine()];
  const disagree = async () => {
    await laptop.set('theme', 'mine');
    await desktop.set('theme', 'theirs');
    await desktop.sync();
    asked.length = 0;
    await laptop.sync();
    return (await desktop.sync())['theme'];
  };
  t.equal(await disagree(), 'theirs');
  t.match(asked, [{ name: 'theme', mine: { value: 'mine' }, theirs: { value: 'theirs' } }]);
  resolution = 'mine';
  t.equal(await disagree(), 'mine');
  resolution = { value: 'both' };
  t.equal(await disagree(), 'both');
  t.equal(asked.length, 1, 'once');
  await laptop.set('theme', 'same');
  await desktop.set('theme', 'same');
  await desktop.sync();
  asked.length = 0;
  await laptop.sync();
  t.strictSame(asked, [], 'who agrees is not asked');
});

t.test('a clock that is an hour slow does not lose against older changes', async (t) => {
  const machine = await openMachines();
  const HOUR_MS = 3_600_000;
  /** A server whose clock is an hour ahead of this one. */
  const ahead: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const headers = new Headers(response.headers);
    headers.set('date', new Date(Date.now() + HOUR_MS).toUTCString());
    return new Response(await response.text(), { status: response.status, headers });
  };
  const storage = memoryStorage();
  const [right, slow] = [await machine(), await machine({ storage, fetch: ahead })];
  await right.set('theme', 'before');
  await right.sync();
  await slow.set('theme', 'after');
  const { user } = JSON.parse(String(await storage.get('tokenledger.session')));
  const name = `tokenledger.settings.${user.id}`;
  const state = JSON.parse(String(await storage.get(name)));
  state.pending.theme.updated_at -= HOUR_MS;
  await storage.set(name, JSON.stringify(state));
  t.strictSame(await slow.sync(), { theme: 'after' });
  t.strictSame(await right.sync(), { theme: 'after' });
});

t.test('windows that synchronise at once end with the same', async (t) => {
  const machine = await openMachines();
  const storage = memoryStorage();
  const windows = [await machine({ storage }), await machine({ storage })];
  await Promise.all(windows.map((settings, index) => settings.set(`window ${index}`, index)));
  const all = await Promise.all(windows.map((settings) => settings.sync()));
  t.strictSame(all, Array(2).fill({ 'window 0': 0, 'window 1': 1 }));
});

t.test('what one person did not send does not reach the next', async (t) => {
  const client = openClient(t, url);
  const [first, second] = [await registerUser(server), await registerUser(server)];
  await client.account.signIn(first.email, first.password);
  await client.settings.set('secret', 1);
  await client.account.signIn(second.email, second.password);
  t.strictSame(await client.settings.sync(), {});
});

t.end();
