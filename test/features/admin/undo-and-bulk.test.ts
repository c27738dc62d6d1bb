import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface Moved {
  readonly entries: { readonly id: string; readonly amount: number }[];
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

const allocate = async (body: object) => (await admin.as('POST', '/api/admin/allocate', body)).json<Moved>();
const undo = (id: string | undefined) => admin.as('POST', `/api/admin/ledger/${id}/undo`);
const ledger = async (id: string) =>
  (await admin.as('GET', `/api/admin/devices/${id}/ledger`)).json<{ entries: Record<string, unknown>[] }>().entries;

t.test('an allocation tells both balances before and after, and its ledger entries', async (t) => {
  const from = await server.registerDevice();
  const to = await server.registerDevice();
  const moved = await allocate({ device_id: to.id, from_device_id: from.id, tokens: 20 });
  t.match(moved, {
    allocated: 70,
    before: { allocated: 50 },
    from: { allocated: 30, before: { allocated: 50 } },
    entries: [
      { device_id: to.id, amount: 20, kind: 'transfer' },
      { device_id: from.id, amount: -20, kind: 'transfer' },
    ],
  });
  t.match(await ledger(to.id), [
    { id: moved.entries[0]?.id, counterpart: from.id, undoable: true },
    { undoable: false },
  ]);
  await server.verifyLedger(t);
});

t.test('a grant, a claw back and a transfer are undone once, by a counter-entry', async (t) => {
  const device = await server.registerDevice();
  const other = await server.registerDevice();
  const pool = async () => (await admin.as('GET', '/api/admin/budget')).json<{ allocated: number }>().allocated;
  const before = await pool();
  const grant = await allocate({ device_id: device.id, tokens: 30 });
  const back = await allocate({ device_id: device.id, tokens: -10 });
  const transfer = await allocate({ device_id: other.id, from_device_id: device.id, tokens: 5 });

  t.match((await undo(grant.entries[0]?.id)).json(), {
    allocated: 35,
    before: { allocated: 65 },
    entries: [{ amount: -30 }],
  });
  t.match((await undo(back.entries[0]?.id)).json(), { allocated: 45, entries: [{ amount: 10 }] });
  t.match((await undo(transfer.entries[1]?.id)).json(), {
    device_id: device.id,
    allocated: 50,
    from: { device_id: other.id, allocated: 50 },
  });
  t.equal(await pool(), before);
  for (const entry of [grant.entries[0], back.entries[0], transfer.entries[0], transfer.entries[1]]) {
    const again = await undo(entry?.id);
    t.equal(again.statusCode, 409);
    t.match(again.json(), { code: 'ALREADY_UNDONE' });
  }
  t.match(
    (await ledger(device.id)).find(({ id }) => id === grant.entries[0]?.id),
    { undone: true, undoable: false },
  );
  const counter = (await ledger(device.id))[0];
  t.match((await undo(String(counter?.['id']))).json(), { code: 'NOT_UNDOABLE' });
  await server.verifyLedger(t);
});

t.test('many who undo the same at once undo it once', async (t) => {
  const device = await server.registerDevice();
  const grant = await allocate({ device_id: device.id, tokens: 30 });
  const answers = await Promise.all(Array.from({ length: 8 }, () => undo(grant.entries[0]?.id)));
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1);
  t.match((await admin.as('GET', `/api/admin/devices/${device.id}`)).json(), { allocated: 50 });
  await server.verifyLedger(t);
});

t.test('what is spent, of an earlier period or the server’s own cannot be undone', async (t) => {
  const device = await server.registerDevice();
  const registration = (await ledger(device.id))[0];
  t.match((await undo(String(registration?.['id']))).json(), { code: 'NOT_UNDOABLE' });
  const grant = await allocate({ device_id: device.id, tokens: 30 });
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 60 });
  t.match((await undo(grant.entries[0]?.id)).json(), { code: 'INSUFFICIENT_TOKENS', requested: 30, remaining: 20 });
  await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 50 });
  t.match((await undo(grant.entries[0]?.id)).json(), { code: 'NOT_UNDOABLE' });
  t.match((await undo('00000000-0000-4000-8000-000000000000')).json(), { code: 'ENTRY_NOT_FOUND' });
  await server.verifyLedger(t);
});

t.test('a preview tells exactly what would come of it, and changes nothing', async (t) => {
  const rich = await server.registerDevice();
  const poor = await server.registerDevice(3);
  const body = { device_ids: [rich.id, poor.id], action: 'allocate', tokens: -20 };
  const preview = (await admin.as('POST', '/api/admin/devices/bulk', { ...body, preview: true })).json();
  t.match(preview, { applied: false, refused: 1 });
  const items = new Map(preview.items.map((item: { id: string }) => [item.id, item]));
  t.match(items.get(rich.id), { before: { allocated: 50 }, after: { allocated: 30 }, code: null });
  t.match(items.get(poor.id), { before: { allocated: 3 }, after: null, code: 'INSUFFICIENT_TOKENS' });
  const refused = await admin.as('POST', '/api/admin/devices/bulk', body);
  t.equal(refused.statusCode, 409);
  t.match(refused.json(), { code: 'BULK_REFUSED', refused: 1 });
  t.match((await admin.as('GET', `/api/admin/devices/${rich.id}`)).json(), { allocated: 50 }, 'all or none');
  const log = (await admin.as('GET', `/api/admin/audit?target=device:${rich.id}`)).json<{ entries: object[] }>();
  t.equal(log.entries.length, 0, 'the audit log knows nothing of a preview');
  await server.verifyLedger(t);
});

t.test('many devices are changed at once, each with its own line in the audit log, once for a key', async (t) => {
  const devices = await Promise.all([1, 2, 3].map(() => server.registerDevice()));
  const device_ids = devices.map(({ id }) => id);
  const bulk = (body: object, key?: string) =>
    admin.as(
      'POST',
      '/api/admin/devices/bulk',
      { device_ids, ...body },
      key === undefined ? {} : { 'idempotency-key': key },
    );
  const first = (await bulk({ action: 'allocate', tokens: 5 }, 'k1')).json();
  t.match(first, { applied: true, refused: 0 });
  t.ok(first.items.every(({ entry }: { entry: string | null }) => entry !== null));
  t.strictSame((await bulk({ action: 'allocate', tokens: 5 }, 'k1')).json(), first);
  t.equal((await bulk({ action: 'allocate', tokens: 6 }, 'k1')).statusCode, 422);
  t.match((await admin.as('GET', `/api/admin/devices/${device_ids[0]}`)).json(), { allocated: 55 });
  await bulk({ action: 'block' });
  t.match((await admin.as('GET', `/api/admin/devices/${device_ids[1]}`)).json(), { blocked: true });
  const removed = (await bulk({ action: 'remove' })).json();
  t.equal(removed.pool.before.allocated - removed.pool.after.allocated, 165);
  t.equal((await admin.as('GET', `/api/admin/devices/${device_ids[2]}`)).statusCode, 404);
  t.equal((await bulk({ action: 'allocate' })).statusCode, 400);
  await server.verifyLedger(t);
});

t.test('many people are suspended, signed out, given a plan and tokens at once', async (t) => {
  const people = [await registerUser(server), await registerUser(server)];
  const user_ids = people.map(({ id }) => id);
  const bulk = (body: object) => admin.as('POST', '/api/admin/users/bulk', { user_ids, ...body });
  for (const body of [{ action: 'plan', tier: 'pro' }, { action: 'allocate', tokens: 7 }, { action: 'suspend' }]) {
    t.match((await bulk(body)).json(), { applied: true }, body.action);
  }
  const read = await admin.as('GET', `/api/admin/users/${user_ids[1]}`);
  t.match(read.json(), { tier: 'pro', total_tokens: 1_000_007 });
  t.type(read.json<{ suspended_at: string }>().suspended_at, 'string');
  await bulk({ action: 'unsuspend' });
  t.match((await bulk({ action: 'end_sessions' })).json(), { applied: true });
  await server.verifyLedger(t);
});

t.test('a viewer previews nothing and changes nothing', async (t) => {
  const viewer = await logInAsAdmin(server, 'vera', 'viewer');
  const device = await server.registerDevice();
  for (const [url, payload] of [
    ['/api/admin/devices/bulk', { device_ids: [device.id], action: 'block', preview: true }],
    [`/api/admin/ledger/${device.id}/undo`, {}],
  ] as const) {
    t.match((await viewer.as('POST', url, payload)).json(), { code: 'INSUFFICIENT_ROLE' });
  }
  t.match((await viewer.as('GET', '/api/admin/me')).json(), { username: 'vera', role: 'viewer', second_factor: false });
});

t.test('a reset and a budget are previewed as they would come out', async (t) => {
  const preview = (await admin.as('GET', '/api/admin/reset-monthly/preview?default_tokens=10')).json();
  t.match(preview, { already_reset: true, fits: true, default_tokens: 10, pool_total: null });
  await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 10, force: true });
  const budget = (await admin.as('GET', '/api/admin/budget')).json<{ allocated: number }>();
  t.equal(budget.allocated, preview.allocated_after);
  const smaller = await admin.as('GET', `/api/admin/budget/preview?total=${budget.allocated - 1}`);
  t.match(smaller.json(), { before: { total: null }, after: { unallocated: 0 }, over_allocated: 1 });
  t.match((await admin.as('GET', '/api/admin/budget')).json(), { total: null });
  await server.verifyLedger(t);
});

t.end();
