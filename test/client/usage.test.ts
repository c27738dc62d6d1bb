import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TokenledgerError } from '../../src/client/client.js';
import { registerUser, type TestUser } from '../helpers/accounts.js';
import { brittleStorage, memoryStorage, openClient, openNetwork } from '../helpers/client.js';
import { openTestServer, setBalance } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '10' } });
const url = await server.listen();
const USE = { model_type: 'gpt-5' };
const OPUS = { model_type: 'claude-opus-4.5' };
const countEvents = async (id: string) =>
  (await server.database.sql('select from usage_events where subject_id = $1', [id])).length;

t.test('a device registers once, and comes back after a restart', async (t) => {
  const storage = memoryStorage();
  const device = await openClient(t, url, { storage }).device.register();
  t.match(device, { allocation: 10, remaining: 10 });
  const [first, second] = [openClient(t, `${url}/api/`, { storage }), openClient(t, url, { storage })];
  const again = await Promise.all([first.device.register(), second.device.register()]);
  t.strictSame(
    again.map(({ device_id }) => device_id),
    [device.device_id, device.device_id],
  );
  t.match(await second.device.balance(), { allocated: 10, can_use_tokens: true });
});

t.test('windows that start at once register one device', async (t) => {
  const storage = memoryStorage();
  const windows = [1, 2, 3].map(() => openClient(t, url, { storage }));
  const devices = await Promise.all(windows.map(({ device }) => device.register()));
  t.equal(new Set(devices.map(({ device_id }) => device_id)).size, 1);
});

t.test('a secret that cannot be kept is never sent', async (t) => {
  const storage = brittleStorage();
  storage.isBroken = true;
  const network = openNetwork();
  await t.rejects(openClient(t, url, { storage, network }).device.register(), { code: 'STORAGE_FAILED' });
  t.strictSame(network.requests, []);
});

t.test('tokens are held, used and logged, and what is not affordable is not begun', async (t) => {
  const { device } = openClient(t, url);
  t.match(await device.check(OPUS), { can_use: true, tokens_needed: 3, remaining: 10 });
  t.equal(await device.spend({ ...OPUS, prompt_count: 3 }, async () => 'the answer'), 'the answer');
  const begun: string[] = [];
  const refused = device.spend(OPUS, async () => begun.push('work'));
  await t.rejects(refused, { code: 'INSUFFICIENT_TOKENS', status: 403, body: { requested: 3, remaining: 1 } });
  t.strictSame(begun, []);
  await t.rejects(device.log(OPUS), { code: 'INSUFFICIENT_TOKENS', body: { requested: 3, remaining: 1 } });
  t.match(await device.balance(), { used: 9, reserved: 0, remaining: 1 });
  t.equal(await device.flush(), 0, 'what was refused does not wait');
  await server.verifyLedger(t);
});

t.test('work that was done is not lost where it cannot be counted', async (t) => {
  const told: string[] = [];
  const { device } = openClient(t, url, { onRefused: ({ model_type }, { code }) => told.push(model_type, code) });
  const { device_id: id } = await device.register();
  const work = async () => {
    await server.database.sql("update reservations set expires_at = now() - interval '1 s' where subject_id = $1", [
      id,
    ]);
    await setBalance(server.database, id, 3);
    await device.log({ ...USE, prompt_count: 3 });
    return 'the answer';
  };
  t.equal(await device.spend(USE, work), 'the answer');
  t.strictSame(told, ['gpt-5', 'INSUFFICIENT_TOKENS']);
});

t.test('a hold whose answer was lost is one hold', async (t) => {
  const network = openNetwork();
  const wait = async () => {
    network.state = 'works';
  };
  const client = openClient(t, url, { network, retries: 2, wait });
  await client.device.register();
  network.state = 'loses';
  t.match(await client.device.hold(OPUS), { can_use: true, remaining: 7 });
  t.match(await client.device.balance(), { reserved: 3 });
});

t.test('a server that is down loses nothing: uses wait in order, also for the next start', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const client = openClient(t, url, { storage, network });
  const { device_id: id } = await client.device.register();
  network.state = 'is down';
  for (const model_type of ['first', 'second', 'third']) {
    t.match(await client.device.log({ model_type }), { state: 'queued', reason: { code: 'NETWORK_ERROR' } });
  }
  client.close();
  network.requests.length = 0;
  network.state = 'works';
  const next = openClient(t, url, { storage, network });
  t.match(await next.device.log({ model_type: 'fourth' }), { state: 'logged', answer: { remaining: 6 } });
  t.strictSame(network.requests, Array(4).fill('POST /api/usage/log'));
  const events = await server.database.sql('select model from usage_events where subject_id = $1 order by created_at', [
    id,
  ]);
  t.strictSame(
    events.map(({ model }) => model),
    ['first', 'second', 'third', 'fourth'],
  );
  await server.verifyLedger(t);
});

t.test('a use whose answer was lost is charged once, by whichever window sends it again', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const client = openClient(t, url, { storage, network });
  const { device_id: id } = await client.device.register();
  network.state = 'loses';
  t.match(await client.device.log(USE), { state: 'queued' });
  t.match(await client.device.log(USE), { state: 'queued' });
  network.state = 'works';
  const windows = [client, openClient(t, url, { storage, network }), openClient(t, url, { storage, network })];
  network.requests.length = 0;
  t.strictSame(await Promise.all(windows.map(({ device }) => device.flush())), [0, 0, 0]);
  t.equal(network.requests.length, 2, 'only one window sent them');
  t.equal(await countEvents(id), 2);
  t.match(await client.device.balance(), { used: 2 });
  await server.verifyLedger(t);
});

t.test('an event that is logged twice is charged once', async (t) => {
  const { device } = openClient(t, url);
  const event = { ...USE, event_id: 'prompt-1' };
  t.strictSame(await device.log(event), await device.log(event));
  t.match(await device.balance(), { used: 1 });
});

t.test('windows that log at the same time send each use once', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const windows = [1, 2, 3].map(() => openClient(t, url, { storage, network }));
  const results = await Promise.all(windows.map(({ device }) => device.log(USE)));
  t.strictSame(
    results.map(({ state }) => state),
    ['logged', 'logged', 'logged'],
  );
  t.equal(network.requests.filter((request) => request === 'POST /api/usage/log').length, 3);
  t.match(await windows[0]?.device.balance(), { used: 3 });
  await server.verifyLedger(t);
});

t.test('what may have been charged more than a day ago is not sent again, and somebody is told', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const told: (string | undefined)[] = [];
  const onRefused = (use: { event_id?: string }, error: TokenledgerError) => told.push(use.event_id, error.code);
  const client = openClient(t, url, { storage, network, onRefused });
  await client.device.register();
  network.state = 'loses';
  await client.device.log({ ...USE, event_id: 'sent' });
  await client.device.log({ ...USE, event_id: 'never sent' });
  const queue: { sentAt?: number }[] = JSON.parse(String(await storage.get('tokenledger.queue')));
  t.strictSame(
    queue.map(({ sentAt }) => sentAt !== undefined),
    [true, false],
    'only one was tried',
  );
  const dayAgo = Date.now() - 24 * 60 * 60 * 1_000;
  const old = queue.map((entry) => ({ ...entry, ...(entry.sentAt !== undefined && { sentAt: dayAgo }) }));
  await storage.set('tokenledger.queue', JSON.stringify(old));
  network.state = 'works';
  t.equal(await client.device.flush(), 0);
  t.strictSame(told, ['sent', 'UNCERTAIN']);
  t.match(await client.device.balance(), { used: 2 }, 'the lost one, and the one that was never sent');
});

t.test('a queued use that is refused makes room for the next, and somebody is told', async (t) => {
  const network = openNetwork();
  const told: string[] = [];
  const client = openClient(t, url, { network, onRefused: ({ model_type }, { code }) => told.push(model_type, code) });
  const { device_id: id } = await client.device.register();
  network.state = 'is down';
  await client.device.log(OPUS);
  await client.device.log(USE);
  await setBalance(server.database, id, 1);
  network.state = 'works';
  t.equal(await client.device.flush(), 0);
  t.strictSame(told, ['claude-opus-4.5', 'INSUFFICIENT_TOKENS']);
  t.match(await client.device.balance(), { used: 1, remaining: 0 });
  await server.verifyLedger(t);
});

t.test('a full queue refuses the next use, and a blocked device keeps what it has', async (t) => {
  const network = openNetwork();
  const client = openClient(t, url, { network, maxQueued: 2 });
  const { device_id: id } = await client.device.register();
  network.state = 'is down';
  await client.device.log(USE);
  await client.device.log(USE);
  await t.rejects(client.device.log(USE), { code: 'QUEUE_FULL' });
  network.state = 'works';
  await server.database.sql('update devices set blocked = true where id = $1', [id]);
  t.equal(await client.device.flush(), 2);
  await server.database.sql('update devices set blocked = false where id = $1', [id]);
  t.match(await client.device.log(USE), { state: 'logged', answer: { remaining: 7 } });
  await server.verifyLedger(t);
});

t.test('a use that cannot be kept is sent all the same; one that can be neither is an error', async (t) => {
  const [storage, network] = [brittleStorage(), openNetwork()];
  const { device } = openClient(t, url, { storage, network });
  await device.register();
  storage.isBroken = true;
  t.match(await device.log(USE), { state: 'logged', answer: { remaining: 9 } });
  network.state = 'is down';
  await t.rejects(device.log(USE), { code: 'NETWORK_ERROR' });
  [storage.isBroken, network.state] = [false, 'works'];
  t.equal(await device.flush(), 0);
  t.match(await device.balance(), { used: 1 });
  await server.verifyLedger(t);
});

t.test('a device whose token was ended registers again by its secret', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const client = openClient(t, url, { storage, network });
  const { device_id: id } = await client.device.register();
  await server.database.sql('update devices set token_version = token_version + 1 where id = $1', [id]);
  network.requests.length = 0;
  const second = openClient(t, url, { storage, network });
  await Promise.all([client.device.log(USE), second.device.balance()]);
  t.equal(network.requests.filter((request) => request.endsWith('/register')).length, 1, 'once for both');
  t.match(await client.device.balance(), { used: 1 });
});

t.test('a token that comes with an answer is used from then on', async (t) => {
  const storage = memoryStorage();
  const renewing: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const headers = new Headers(response.headers);
    if (String(input).endsWith('/tokens')) headers.set('x-device-token', 'the next one');
    return new Response(await response.text(), { status: response.status, headers });
  };
  const { device } = openClient(t, url, { storage, fetch: renewing });
  const { device_id: id } = await device.register();
  await device.balance();
  t.match(JSON.parse(String(await storage.get('tokenledger.device'))), { tokens: { [id]: 'the next one' } });
});

t.test('what one person used is charged to their device, whoever signs in next', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const client = openClient(t, url, { storage, network });
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const signIn = async ({ email, password }: TestUser) => {
    await client.account.signIn(email, password);
    return (await client.device.register()).device_id;
  };
  const first = await signIn(ada);
  network.state = 'loses';
  await client.device.log(USE);
  await client.device.log(USE);
  network.state = 'works';
  const second = await signIn(bob);
  t.not(second, first);
  t.equal(await client.device.flush(), 0);
  t.strictSame([await countEvents(first), await countEvents(second)], [2, 0]);
  await client.device.log(USE);
  t.equal(await countEvents(second), 1);
  await server.verifyLedger(t);
});

t.test('a use that waits for a device that was taken away is given up', async (t) => {
  const [storage, network] = [memoryStorage(), openNetwork()];
  const told: string[] = [];
  const client = openClient(t, url, { storage, network, onRefused: (_use, { code }) => told.push(code) });
  const [before, after] = [await registerUser(server), await registerUser(server)];
  await client.account.signIn(before.email, before.password);
  const { device_id: id } = await client.device.register();
  network.state = 'is down';
  await client.device.log(USE);
  network.state = 'works';
  await client.account.signIn(after.email, after.password);
  await client.device.register();
  await server.database.sql('update devices set token_version = token_version + 1 where id = $1', [id]);
  t.equal(await client.device.flush(), 0);
  t.strictSame(told, ['DEVICE_NOT_FOUND']);
});

t.test('without locks windows may send the same at once, and it is charged once', async (t) => {
  const locks = { request: <T>(_name: string, work: () => Promise<T>) => work() };
  const [storage, network] = [memoryStorage(), openNetwork()];
  const windows = [1, 2, 3].map(() => openClient(t, url, { storage, network, locks }));
  const { device_id: id } = await openClient(t, url, { storage, network, locks }).device.register();
  network.state = 'is down';
  for (const { device } of windows) await device.log(USE);
  network.state = 'works';
  network.requests.length = 0;
  await Promise.all(windows.map(({ device }) => device.flush()));
  t.ok(network.requests.length > 3, 'they were not in turn');
  t.equal(await countEvents(id), 3);
  await server.verifyLedger(t);
});

t.test('a server that nobody listens for, or that never answers, is told as such', async (t) => {
  const log = (baseUrl: string) => openClient(t, baseUrl, { timeout: 50 }).device.log(USE);
  t.match(await log('http://127.0.0.1:1'), { state: 'queued', reason: { code: 'NETWORK_ERROR', status: 0 } });
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.closeAllConnections());
  t.after(() => silent.close());
  const { port }: AddressInfo = Object(silent.address());
  t.match(await log(`http://127.0.0.1:${port}`), { state: 'queued', reason: { code: 'NETWORK_ERROR' } });
});

t.test('requests are sent again as the server says it', async (t) => {
  const waits: number[] = [];
  const answers: [number, Record<string, string>, string][] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const [status, headers, code] = answers.shift() ?? [0, {}, ''];
    if (status === 0 || String(input).endsWith('/register')) return globalThis.fetch(input, init);
    return new Response(JSON.stringify({ code, message: 'Wait' }), { status, headers });
  };
  const wait = async (milliseconds: number) => void waits.push(Math.round(milliseconds / 1_000));
  const { device } = openClient(t, url, { fetch, wait, retries: 2 });
  await device.register();
  const trying = async (...next: typeof answers) => {
    waits.length = 0;
    answers.splice(0, answers.length, ...next);
    const failure = await device.balance().then(
      () => undefined,
      (error: TokenledgerError) => error,
    );
    return { waits: [...waits], code: failure?.code, retryAfter: failure?.retryAfter };
  };
  const busy: [number, Record<string, string>, string] = [429, { 'retry-after': '7' }, 'RATE_LIMITED'];
  t.strictSame(await trying(busy, busy), { waits: [7, 7], code: undefined, retryAfter: undefined });
  t.match(await trying(busy, busy, busy), { waits: [7, 7], code: 'RATE_LIMITED', retryAfter: 7 });
  t.match(await trying([429, { 'retry-after': '60' }, 'RATE_LIMITED']), { waits: [], retryAfter: 60 });
  t.match(await trying([429, { 'x-should-retry': 'false' }, 'ALREADY']), { waits: [], code: 'ALREADY' });
  t.match(await trying([500, { 'x-should-retry': 'true', 'retry-after': '2' }, 'X']), { waits: [2], code: undefined });
  t.match(await trying([503, { 'retry-after': '1' }, 'SERVICE_UNAVAILABLE']), { waits: [1], code: undefined });
  t.match(await trying([503, {}, 'CHAT_DISABLED']), { waits: [], code: 'CHAT_DISABLED' });
  t.match(await trying([500, {}, 'INTERNAL_ERROR']), { waits: [], code: 'INTERNAL_ERROR' });
});

t.test('the books add up in the end', (t) => server.verifyLedger(t));

t.end();
