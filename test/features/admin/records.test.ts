import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

interface AuditPage {
  entries: {
    actor: string;
    action: string;
    target: string | null;
    request_id: string | null;
    before: unknown;
    after: unknown;
  }[];
  next_cursor: string | null;
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

t.test('every action records who did what, the values before and after, and the request id', async (t) => {
  const device = await server.registerDevice();
  await admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens: 20 }, { 'x-request-id': 'req-1' });
  await admin.as('POST', '/api/admin/block-device', { device_id: device.id, blocked: true });
  const { entries } = (await admin.as('GET', `/api/admin/audit?target=device:${device.id}`)).json<AuditPage>();
  t.match(entries, [
    { actor: 'admin:root', action: 'block_device', before: { blocked: false }, after: { blocked: true } },
    { action: 'allocate', request_id: 'req-1', before: { to: { allocated: 50 } }, after: { to: { allocated: 70 } } },
  ]);
  await server.verifyLedger(t);
});

t.test('a refused action leaves no record', async (t) => {
  const device = await server.registerDevice();
  const count = () => server.database.sql('select count(*) from audit_log');
  const before = await count();
  const refused = await admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens: -51 });
  t.match(refused.json(), { code: 'INSUFFICIENT_TOKENS', requested: 51, remaining: 50 });
  t.equal(refused.statusCode, 403);
  const itself = { device_id: device.id, from_device_id: device.id, tokens: 1 };
  t.match((await admin.as('POST', '/api/admin/allocate', itself)).json(), { code: 'SELF_TRANSFER' });
  t.strictSame(await count(), before);
  await server.verifyLedger(t);
});

t.test('the audit log and the ledger are append-only, even for their owner', async (t) => {
  for (const table of ['audit_log', 'ledger_entries']) {
    for (const statement of [`delete from ${table}`, `update ${table} set actor = 'x'`, `truncate ${table}`]) {
      await t.rejects(server.database.sql(statement), /append-only/, statement);
    }
  }
});

t.test('pages of the audit log follow each other', async (t) => {
  const all = (await admin.as('GET', '/api/admin/audit?limit=200')).json<AuditPage>();
  const paged: string[] = [];
  let cursor = '';
  do {
    const page = (await admin.as('GET', `/api/admin/audit?limit=1${cursor}`)).json<AuditPage>();
    paged.push(...page.entries.map(({ action }) => action));
    cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`;
  } while (cursor !== '');
  t.strictSame(
    paged,
    all.entries.map(({ action }) => action),
  );
});

t.test('verification reports every check, and finds a balance that was tampered with', async (t) => {
  const device = await server.registerDevice();
  const sound = await admin.as('GET', '/api/admin/ledger/verify');
  t.match(sound.json(), { ok: true });
  await server.database.sql('update balances set allocated = allocated + 1 where subject_id = $1', [device.id]);
  const broken = (await admin.as('GET', '/api/admin/ledger/verify')).json<{
    ok: boolean;
    checks: { name: string; ok: boolean; discrepancies: { subject: string }[] }[];
  }>();
  t.equal(broken.ok, false);
  const failed = broken.checks.filter(({ ok }) => !ok);
  t.strictSame(
    failed.map(({ name }) => name),
    ['allocated = sum of ledger entries', 'pools = sums of allocations'],
  );
  t.equal(failed[0]?.discrepancies[0]?.subject, device.id);
  await server.database.sql('update balances set allocated = allocated - 1 where subject_id = $1', [device.id]);
  await server.verifyLedger(t);
});

t.test('a price change applies to the next debit and rewrites no history', async (t) => {
  const device = await server.registerDevice();
  const use = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  t.match((await use()).json(), { tokens_used: 1 });
  const model_costs = [{ model: ' GPT-5 ', cost: 7 }];
  t.match((await admin.as('PUT', '/api/admin/model-costs', { model_costs })).json(), {
    model_costs: [
      { model: '*', cost: 1 },
      { model: 'claude-opus-4.5', cost: 3 },
      { model: 'gpt-5', cost: 7 },
    ],
  });
  t.match((await use()).json(), { tokens_used: 7, remaining: 42 });
  await admin.as('PUT', '/api/admin/model-costs', { model_costs: [{ model: 'gpt-5', cost: null }] });
  t.match(
    (await use()).json(),
    { tokens_used: 1, remaining: 41 },
    'without a price of its own it costs what all others do',
  );
  const removed = await admin.as('PUT', '/api/admin/model-costs', { model_costs: [{ model: '*', cost: null }] });
  t.match(removed.json(), { model_costs: [{ model: '*', cost: 1 }, {}] }, 'the price of all others stays');
  await server.verifyLedger(t);
});
