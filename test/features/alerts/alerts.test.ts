import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { writeAlertMails } from '../../../src/features/alerts/alert-mails.js';
import { requireOutbox } from '../../../src/platform/mail/outbox.js';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer, setBalance } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';

const smtp = await openSmtpServer(t);
const environment = { ...mailEnvironment(smtp), JWT_SECRET: 'one secret of two servers, 32 bytes long' };
const server = await openTestServer(t, { environment });
const other = await openTestServer(t, { environment, database: server.database });
const { sql } = server.database;
const admin = await logInAsAdmin(server);
await admin.as('POST', '/api/admin/webhooks', {
  url: 'https://receiver.example/hook',
  events: ['balance.threshold', 'balance.exhausted'],
});

interface Announced {
  readonly type: string;
  readonly threshold: number | null;
}
/** What was announced of a balance or pool, in order. */
const announced = async (subject: string) =>
  (
    await sql<Announced>(
      `select type, (data ->> 'threshold')::integer as threshold from private.webhook_deliveries
        where data ->> 'subject_id' = $1 or data ->> 'pool' = $1 order by id`,
      [subject],
    )
  ).map(({ type, threshold }) => threshold ?? type);
const use = (device: Parameters<typeof server.as>[0], prompt_count: number, key = randomUUID(), on = server) =>
  on.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count }, { 'idempotency-key': key });

t.test('a device is announced at each threshold once a period, exactly', async (t) => {
  const device = await server.registerDevice(100);
  await use(device, 79);
  t.strictSame(await announced(device.id), []);
  const key = randomUUID();
  await Promise.all([1, 2, 3, 4].map(() => use(device, 1, key)));
  t.strictSame(await announced(device.id), [80], 'a retry announces nothing');
  await use(device, 19);
  await use(device, 1);
  t.strictSame(await announced(device.id), [80, 100, 'balance.exhausted']);
  t.equal((await use(device, 1)).statusCode, 403);
  await setBalance(server.database, device.id, 200);
  await use(device, 100);
  t.strictSame(await announced(device.id), [80, 100, 'balance.exhausted'], 'more tokens in a period begin no other');
  await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 10, force: true });
  await use(device, 10);
  t.strictSame((await announced(device.id)).slice(3), [80, 100, 'balance.exhausted']);
  await server.verifyLedger(t);
});

t.test('admins see what was warned of, newest first, until the account is gone', async (t) => {
  const device = await server.registerDevice(100);
  const person = await registerUser(server);
  await sql('update devices set user_id = $1, name = $2 where id = $3', [person.id, 'Laptop', device.id]);
  await use(device, 80);
  await use(device, 20);
  const read = async (query: string) => (await admin.as('GET', `/api/admin/alerts/recent?${query}`)).json();
  const about = { subject_kind: 'device', subject_id: device.id };
  const newest = await read('limit=1');
  t.match(newest.alerts, [{ type: 'balance.exhausted', name: 'Laptop', data: { ...about, remaining: 0 } }]);
  const { alerts } = await read(`limit=1&cursor=${newest.next_cursor}`);
  t.match(alerts, [{ type: 'balance.threshold', name: 'Laptop', data: { ...about, threshold: 80, allocated: 100 } }]);
  const viewer = await logInAsAdmin(server, 'vera', 'viewer');
  t.equal((await viewer.as('GET', '/api/admin/alerts/recent')).statusCode, 200, 'viewers, too');
  await admin.as('DELETE', `/api/admin/users/${person.id}`);
  const left = (await read('limit=200')).alerts;
  t.notOk(left.some(({ data }: { data: { user_id?: string } }) => data.user_id === person.id));
  await server.verifyLedger(t);
});

t.test('a period that a balance has yet to enter is announced once, by its first debits', async (t) => {
  const device = await server.registerDevice(100);
  await use(device, 100);
  const before = await announced(device.id);
  await sql(`select private.close_period('admin:test', null, 10)`);
  await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  t.strictSame(await announced(device.id), before, 'entering it announces nothing');
  await Promise.all([use(device, 8), use(device, 2)]);
  await server.backend.database.call('finish_reset', {}, Type.Integer());
  t.strictSame((await announced(device.id)).slice(before.length), [80, 100, 'balance.exhausted']);
  await server.verifyLedger(t);
});

t.test('many debits at once, on two servers, announce each threshold once', async (t) => {
  const device = await server.registerDevice(100);
  const answers = await Promise.all(
    Array.from({ length: 120 }, (_, index) => use(device, 1, randomUUID(), index % 2 === 0 ? server : other)),
  );
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 100);
  t.strictSame(await announced(device.id), [80, 100, 'balance.exhausted']);
  await server.verifyLedger(t);
});

t.test('a debit that is undone announces nothing', async (t) => {
  const device = await server.registerDevice(10);
  await t.rejects(
    sql(
      `with used as (update balances set used = 10 where subject_id = $1 returning 1) select 1 / (select 0 * count(*) from used)`,
      [device.id],
    ),
  );
  t.strictSame(await announced(device.id), []);
  await server.verifyLedger(t);
});

t.test('a request refused for want of tokens tells that a balance has ended, once', async (t) => {
  await admin.as('PUT', '/api/admin/model-costs', { model_costs: [{ model: 'dear', cost: 7 }] });
  const device = await server.registerDevice(20);
  const dear = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'dear', prompt_count: 1 });
  for (const status of [200, 200, 403, 403]) t.equal((await dear()).statusCode, status);
  t.strictSame(await announced(device.id), ['balance.exhausted']);
  await use(device, 6);
  t.strictSame(await announced(device.id), ['balance.exhausted', 80, 100], 'what is left may still be used');

  const hasty = await server.registerDevice(20);
  const answers = await Promise.all([1, 2, 3].map(() => use(hasty, 7)));
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, 200, 403], 'in one batch');
  t.strictSame(await announced(hasty.id), [], 'six prompts are left');
  const dearAt = (on: typeof hasty) => server.as(on, 'POST', '/api/usage/log', { model_type: 'dear', prompt_count: 1 });
  const eager = await server.registerDevice(20);
  await Promise.all([1, 2, 3].map(() => dearAt(eager)));
  t.strictSame(await announced(eager.id), ['balance.exhausted'], 'told with the batch that found it');
  await server.verifyLedger(t);
});

t.test('a person is measured from when tokens last came in', async (t) => {
  const { id } = await registerUser(server);
  await setBalance(server.database, id, 1_000);
  const spend = (tokens: number) => sql('update balances set used = used + $2 where subject_id = $1', [id, tokens]);
  await spend(790);
  await spend(10);
  t.strictSame(await announced(id), [80]);
  await admin.as('POST', '/api/admin/allocate', { user_id: id, tokens: 1_000 });
  await spend(950);
  t.strictSame(await announced(id), [80]);
  await spend(10);
  t.strictSame(await announced(id), [80, 80], '800 + 80 % of 1,200');
  await spend(240);
  t.strictSame(await announced(id), [80, 80, 100, 'balance.exhausted']);
  await spend(-2_000);
});

t.test('thresholds can be changed, and count for balances under way', async (t) => {
  const device = await server.registerDevice(100);
  await use(device, 50);
  const changed = await admin.as('PUT', '/api/admin/alerts', { device_thresholds: [90, 60] });
  t.match(changed.json(), { device_thresholds: [60, 90], user_thresholds: [80, 100], mail_people: false, mail_to: [] });
  t.strictSame((await admin.as('GET', '/api/admin/alerts')).json(), changed.json());
  await use(device, 10);
  await use(device, 20);
  t.strictSame(await announced(device.id), [60]);
  await admin.as('PUT', '/api/admin/alerts', { device_thresholds: [] });
  await use(device, 19);
  t.strictSame(await announced(device.id), [60]);
  await use(device, 1);
  t.strictSame(await announced(device.id), [60, 'balance.exhausted']);
  await admin.as('PUT', '/api/admin/alerts', { device_thresholds: [80, 100] });
  for (const payload of [{}, { device_thresholds: [0] }, { device_thresholds: [101] }, { mail_to: ['nobody'] }]) {
    t.equal((await admin.as('PUT', '/api/admin/alerts', payload)).statusCode, 400);
  }
});

t.test('changed thresholds reach all balances some at a time, and in the end all', async (t) => {
  const devices = [
    await server.registerDevice(100),
    await server.registerDevice(100),
    await server.registerDevice(100),
  ];
  for (const device of devices) await use(device, 10);
  const renewed = async () => {
    const ids = devices.map(({ id }) => id);
    const at = 'select count(*)::integer as count from balances where subject_id = any ($1) and alert_at = 0';
    return (await sql<{ count: number }>(at, [ids]))[0]?.count;
  };
  t.equal(await renewed(), 0);
  await sql("update private.alert_settings set renewing_after = '00000000-0000-0000-0000-000000000000'");
  const counts: unknown[] = [];
  for (let count = 1; count > 0; ) {
    count = await server.backend.database.call('renew_alerts', { p_limit: 2 }, Type.Integer());
    counts.push(count);
  }
  t.ok(counts.length > 2, 'in more than one step');
  t.equal(await renewed(), 3);
  t.strictSame(await sql('select 1 from private.alert_settings where renewing_after is not null'), []);
  await server.verifyLedger(t);
});

t.test('a pool is announced as it is handed out', async (t) => {
  const device = await server.registerDevice();
  const handOut = (tokens: number) => admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens });
  const [pool] = await sql<{ allocated: string }>("select allocated from budgets where subject_kind = 'device'");
  const allocated = Number(pool?.allocated);
  const total = allocated * 10;
  await admin.as('PUT', '/api/admin/budget', { total });
  await handOut(total * 0.8 - allocated - 1);
  t.strictSame(await announced('device'), []);
  await handOut(1);
  await handOut(1);
  t.strictSame(await announced('device'), [80]);
  await admin.as('PUT', '/api/admin/budget', { total: total * 10 });
  await handOut(total * 8);
  t.strictSame(await announced('device'), [80, 80], 'of another size it is measured anew');
  await server.verifyLedger(t);
});

t.test('people and admins are mailed, once, whichever server writes', async (t) => {
  await admin.as('PUT', '/api/admin/alerts', { mail_people: true, mail_to: ['Ops@Example.com'] });
  const { id, email } = await registerUser(server);
  await sql('update users set email_verified_at = now() where id = $1', [id]);
  await setBalance(server.database, id, 1_000);
  await sql('update balances set used = used + 1000 where subject_id = $1', [id]);
  await sql('update balances set used = used - 1000 where subject_id = $1', [id]);
  const write = () => writeAlertMails(server.backend.database, requireOutbox(server.app), 'https://tokens.example');
  await Promise.all([write(), write()]);
  await smtp.mail(4);
  const { mails } = smtp;
  t.strictSame(mails.map(({ to }) => to[0]).sort(), [email, email, 'ops@example.com', 'ops@example.com'].sort());
  t.match(
    mails.map(({ text }) => text).join(),
    /This is about your account\.\s+1,000 of 1,000 tokens are used, 0 are left\./,
  );
  t.strictSame(await sql('select 1 from private.alert_mails'), []);
});

t.end();
