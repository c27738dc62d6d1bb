import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

/** What one call of a bulk change does at most. */
const CHUNK = 100;

interface BulkChange {
  readonly id: string;
  readonly state: string;
  readonly matched: number;
  readonly changed: number;
  readonly skipped: number;
  readonly refused: number;
  readonly left: number;
  readonly preview: { readonly sample: readonly object[]; readonly balances: object; readonly pool: object };
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

/** Registers devices whose name begins with a word, in the order of their ids. */
async function registerNamed(word: string, count: number): Promise<string[]> {
  const devices = await Promise.all(Array.from({ length: count }, () => server.registerDevice()));
  const ids = devices.map(({ id }) => id).sort();
  await server.database.sql('update devices set name = $1 where id = any ($2)', [`${word} device`, ids]);
  return ids;
}

const begin = async (body: object, key?: string) =>
  admin.as('POST', '/api/admin/devices/bulk-changes', body, key === undefined ? {} : { 'idempotency-key': key });
const proceed = async (id: string) =>
  (await admin.as('POST', `/api/admin/bulk-changes/${id}/continue`)).json<BulkChange>();
const read = async (id: string | undefined) => (await admin.as('GET', `/api/admin/devices/${id}`)).json();

t.test('all that match are changed chunk by chunk, and nobody else', async (t) => {
  const ids = await registerNamed('orchard', CHUNK + 5);
  const bystander = await server.registerDevice();
  const change = (await begin({ q: 'orchard', action: 'allocate', tokens: 7 })).json<BulkChange>();
  t.match(change, { state: 'preview', matched: CHUNK + 5, left: CHUNK + 5, changed: 0 });
  t.match(change.preview.balances, { remaining: 50 * (CHUNK + 5), short: 0 });
  t.equal(change.preview.sample.length, 20, 'twenty are tried');
  t.match(change.preview.sample[0], { id: ids[0], before: { allocated: 50 }, after: { allocated: 57 }, code: null });
  t.match(await read(ids[0]), { allocated: 50 }, 'a preview does nothing');
  t.strictSame((await admin.as('GET', '/api/admin/bulk-changes')).json().bulk_changes, [], 'nor is it listed');

  // What happens in between: one is removed, one is renamed, and one comes to match.
  await admin.as('DELETE', `/api/admin/devices/${ids[1]}`);
  await admin.as('PATCH', `/api/admin/devices/${ids[2]}`, { name: 'Other' });
  const [late] = await registerNamed('orchard', 1);
  t.match(await proceed(change.id), { state: 'running', changed: CHUNK - 2, skipped: 2, left: 5 });
  t.match(await proceed(change.id), { state: 'done', changed: CHUNK + 3, skipped: 2, refused: 0, left: 0 });
  t.match(await proceed(change.id), { state: 'done', changed: CHUNK + 3 }, 'nothing is done twice');
  t.match(await read(ids[0]), { allocated: 57 });
  t.match(await read(ids.at(-1)), { allocated: 57 });
  for (const id of [ids[2], bystander.id, late]) t.match(await read(id), { allocated: 50 });
  t.match((await admin.as('GET', '/api/admin/bulk-changes?kind=device')).json().bulk_changes, [{ id: change.id }]);
  const audit = (await admin.as('GET', `/api/admin/audit?target=bulk_change:${change.id}`)).json();
  t.match(audit.entries, [{ action: 'begin_bulk_change', after: { action: 'allocate', tokens: 7, searched: true } }]);
  t.notMatch(JSON.stringify(audit), 'orchard', 'the log does not say what was searched for');
  await server.verifyLedger(t);
});

t.test('who cannot be changed is counted with the reason, and does not keep the others', async (t) => {
  const [first, second] = await registerNamed('meadow', 3);
  for (const id of [first, second]) await admin.as('POST', '/api/admin/allocate', { device_id: id, tokens: -40 });
  const change = (await begin({ q: 'meadow', action: 'allocate', tokens: -20 })).json<BulkChange>();
  t.match(change.preview.balances, { short: 2, remaining: 70 });
  t.match(change.preview.sample.filter((item) => Reflect.get(item, 'code') !== null).length, 2);
  const done = await proceed(change.id);
  t.match(done, { state: 'done', changed: 1, refused: 2, refusals: [{ code: 'INSUFFICIENT_TOKENS', count: 2 }] });
  t.match(await read(first), { allocated: 10 });
  await server.verifyLedger(t);
});

t.test('a key begins one change, and another request with it is refused', async (t) => {
  await registerNamed('harbour', 2);
  const body = { q: 'harbour', action: 'block' };
  const answers = await Promise.all([begin(body, 'one'), begin(body, 'one')]);
  const [change, again] = answers.map((answer) => answer.json<BulkChange>());
  t.equal(change?.id, again?.id);
  t.equal((await begin({ ...body, action: 'unblock' }, 'one')).statusCode, 422);
  t.match(await proceed(change?.id ?? ''), { state: 'done', changed: 2 });
  t.match((await begin(body, 'one')).json(), { id: change?.id, state: 'done', preview: { sample: [] } });
});

t.test('two who continue it at once do different chunks', async (t) => {
  const ids = await registerNamed('valley', CHUNK + 1);
  const change = (await begin({ q: 'valley', action: 'allocate', tokens: 1 })).json<BulkChange>();
  await server.database.sql('update private.bulk_changes set started_at = now() where id = $1', [change.id]);
  await meetAtLock(server.database, poolLock('device', 2), () => Promise.all([proceed(change.id), proceed(change.id)]));
  t.match((await admin.as('GET', `/api/admin/bulk-changes/${change.id}`)).json(), { changed: CHUNK + 1, left: 0 });
  t.match(await read(ids[0]), { allocated: 51 });
  t.match(await read(ids.at(-1)), { allocated: 51 });
  await server.verifyLedger(t);
});

t.test('between two chunks devices go on, and what is left can be given up', async (t) => {
  await registerNamed('island', CHUNK + 2);
  const change = (await begin({ q: 'island', action: 'block' })).json<BulkChange>();
  await proceed(change.id);
  const device = await server.registerDevice();
  t.equal((await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode, 200);
  const stopped = await admin.as('DELETE', `/api/admin/bulk-changes/${change.id}`);
  t.match(stopped.json(), { state: 'stopped', changed: CHUNK, left: 2 });
  t.match(await proceed(change.id), { state: 'stopped', changed: CHUNK, left: 2 });
  const audit = (await admin.as('GET', `/api/admin/audit?target=bulk_change:${change.id}`)).json();
  t.match(audit.entries, [{ action: 'stop_bulk_change', after: { changed: CHUNK } }, { action: 'begin_bulk_change' }]);
  await server.verifyLedger(t);
});

t.test('people are changed by their filter', async (t) => {
  const people = await Promise.all([registerUser(server), registerUser(server), registerUser(server)]);
  const [first, second] = people;
  await admin.as('PATCH', `/api/admin/users/${first?.id}`, { suspended: true });
  await admin.as('PATCH', `/api/admin/users/${second?.id}`, { suspended: true });
  const body = { filter: 'suspended', action: 'unsuspend' };
  const change = (await admin.as('POST', '/api/admin/users/bulk-changes', body)).json<BulkChange>();
  t.match(change, { matched: 2, preview: { pool: { subject_kind: 'user' } } });
  await admin.as('PATCH', `/api/admin/users/${first?.id}`, { suspended: false });
  t.match(await proceed(change.id), { state: 'done', changed: 1, skipped: 1 });
  await server.verifyLedger(t);
});

t.test('nobody matches, a viewer asks, or there is no such change', async (t) => {
  t.match((await begin({ q: 'nothing of this name', action: 'block' })).json(), { matched: 0, state: 'done' });
  t.equal((await begin({ q: 'x', action: 'allocate' })).statusCode, 400);
  t.equal((await begin({ q: 'x', action: 'suspend' })).statusCode, 400);
  const missing = '00000000-0000-4000-8000-000000000000';
  for (const [method, url] of [
    ['GET', `/api/admin/bulk-changes/${missing}`],
    ['POST', `/api/admin/bulk-changes/${missing}/continue`],
    ['DELETE', `/api/admin/bulk-changes/${missing}`],
  ] as const) {
    t.match((await admin.as(method, url)).json(), { code: 'BULK_CHANGE_NOT_FOUND' });
  }
  const viewer = await logInAsAdmin(server, 'vera', 'viewer');
  const refused = await viewer.as('POST', '/api/admin/devices/bulk-changes', { action: 'block' });
  t.match(refused.json(), { code: 'INSUFFICIENT_ROLE' });
  t.equal((await viewer.as('GET', '/api/admin/bulk-changes')).statusCode, 200);
});

t.end();
