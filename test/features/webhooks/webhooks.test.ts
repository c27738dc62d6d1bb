import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findWebhookDelivery } from '../../../src/features/webhooks/plugin.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openWebhookReceiver, verifySignature } from '../../helpers/fakes/webhook-receiver.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

const environment = { WEBHOOK_PRIVATE_ADDRESSES: 'allow', JWT_SECRET: 'one secret of two servers, 32 bytes long' };
const server = await openTestServer(t, { environment });
const { sql } = server.database;
const owner = await logInAsAdmin(server);
const { wake } = findWebhookDelivery(server.app);

interface Endpoint {
  readonly id: string;
  readonly secret: string;
}
interface Delivery {
  readonly id: number;
  readonly event_id: string;
  readonly type: string;
  readonly status: string;
  readonly attempts: number;
  readonly failure: string | null;
}

async function subscribe(url: string, events?: readonly string[]): Promise<Endpoint> {
  const response = await owner.as('POST', '/api/admin/webhooks', { url, ...(events !== undefined && { events }) });
  if (response.statusCode !== 201) throw new Error(response.payload);
  return response.json<Endpoint>();
}
const list = async (id: string, query = '') =>
  (await owner.as('GET', `/api/admin/webhooks/${id}/deliveries${query}`)).json<{ deliveries: Delivery[] }>().deliveries;
const settled = (id: string, status: string) =>
  until(`an event is ${status}`, async () => {
    const found = (await list(id)).filter((delivery) => delivery.status === status);
    return found.length > 0 ? found : undefined;
  });
/** Lets waiting events be due now. */
const makeDue = () => sql("update private.webhook_deliveries set due_at = now() where status = 'pending'");

t.afterEach(async () => {
  await sql('delete from private.webhook_endpoints');
});

t.test('an event is signed as Standard Webhooks are, and is in the log of deliveries', async (t) => {
  const receiver = await openWebhookReceiver(t);
  const { id, secret } = await subscribe(receiver.url);
  t.match(secret, /^whsec_[A-Za-z0-9+/=]{32}$/);
  const listed = await owner.as('GET', '/api/admin/webhooks');
  t.notMatch(listed.payload, secret, 'the secret is shown once');
  t.strictSame(
    await sql("select 1 from private.webhook_endpoints where encode(sealed_secret, 'escape') like '%whsec%'"),
    [],
  );

  const device = await server.registerDevice();
  wake();
  const [event] = await receiver.get(1);
  if (event === undefined) throw new Error('no event');
  t.match(event, { type: 'device.registered', data: { device_id: device.id } });
  verifySignature(secret, event);
  t.throws(() => verifySignature(secret, { ...event, body: `${event.body} ` }), 'another body does not pass');
  const [delivery] = await settled(id, 'delivered');
  t.equal(delivery?.event_id, event.headers['webhook-id']);
  await server.verifyLedger(t);
});

t.test('each kind of event is written with its effect, and with it undone', async (t) => {
  const receiver = await openWebhookReceiver(t);
  const { id } = await subscribe(receiver.url);
  const device = await server.registerDevice();
  await owner.as('POST', '/api/admin/block-device', { device_id: device.id, blocked: true });
  await owner.as('POST', '/api/admin/block-device', { device_id: device.id, blocked: true });
  await owner.as('POST', '/api/admin/reset-monthly', { default_tokens: 50, force: true });
  const [user] = await sql<{ id: string }>(
    "with u as (insert into users (email) values ('subscriber@example.com') returning id), b as (insert into balances (subject_id, subject_kind) select id, 'user' from u) select id from u",
  );
  await sql('insert into subscriptions (user_id) values ($1)', [user?.id]);
  await sql("update subscriptions set tier = 'pro', status = 'active' where user_id = $1", [user?.id]);
  await sql('update subscriptions set updated_at = now() where user_id = $1', [user?.id]);
  await t.rejects(
    sql('with d as (update devices set blocked = false returning 1) select 1 / (select 0 * count(*) from d)'),
  );
  const events = (await list(id)).reverse().map(({ type }) => type);
  t.strictSame(events, ['device.registered', 'device.blocked', 'period.reset', 'subscription.changed']);
  await server.verifyLedger(t);
});

t.test('a discrepancy of the books is told once, however often it is found', async (t) => {
  const receiver = await openWebhookReceiver(t);
  const { id } = await subscribe(receiver.url, ['ledger.discrepancy']);
  await owner.as('GET', '/api/admin/ledger/verify');
  t.equal((await list(id)).length, 0);
  const device = await server.registerDevice();
  await sql('update balances set allocated = allocated + 1 where subject_id = $1', [device.id]);
  for (const _ of [1, 2]) t.match((await owner.as('GET', '/api/admin/ledger/verify')).json(), { ok: false });
  t.match(await list(id), [{ data: { checks: [{ discrepancies: 1 }, { discrepancies: 1 }] } }]);
  t.equal((await list(id)).length, 1);
  await sql('update balances set allocated = allocated - 1 where subject_id = $1', [device.id]);
  await server.verifyLedger(t);
});

t.test(
  'an endpoint that fails is asked again later and later, in order, and given up after nine attempts',
  async (t) => {
    let isDown = true;
    const receiver = await openWebhookReceiver(t, () => ({
      status: isDown ? 503 : 204,
      headers: { 'retry-after': '7' },
    }));
    const { id } = await subscribe(receiver.url);
    const [first, second] = [await server.registerDevice(), await server.registerDevice()];
    wake();
    await until('the attempt is settled', async () =>
      (await list(id)).some(({ failure }) => failure !== null) ? true : undefined,
    );
    t.match(
      await list(id),
      [{ attempts: 0 }, { attempts: 1, response_status: 503, failure: 'STATUS' }],
      'the next waits',
    );
    t.match(
      await sql(
        "select due_at - now() between '5 seconds' and '8 seconds' as waits from private.webhook_deliveries where attempts = 1",
      ),
      [{ waits: true }],
      'as long as it was asked to',
    );
    isDown = false;
    await makeDue();
    wake();
    const events = await receiver.get(3);
    t.strictSame(
      events.map(({ data }) => data['device_id']),
      [first.id, first.id, second.id],
    );
    t.equal(events[0]?.headers['webhook-id'], events[1]?.headers['webhook-id'], 'the id stays');

    isDown = true;
    await server.registerDevice();
    await sql("update private.webhook_deliveries set attempts = 8 where status = 'pending'");
    wake();
    const [given] = await settled(id, 'failed');
    t.match((await owner.as('GET', '/api/admin/webhooks')).json(), { webhooks: [{ failed: 1, pending: 0 }] });
    isDown = false;
    const again = await owner.as('POST', `/api/admin/webhooks/${id}/deliveries/${given?.id}/redeliver`);
    t.equal(again.statusCode, 202);
    await until('it arrives', async () =>
      (await list(id, '?status=failed')).length === 0 && (await list(id, '?status=pending')).length === 0
        ? true
        : undefined,
    );
    t.equal(receiver.received.at(-1)?.headers['webhook-id'], given?.event_id);
    t.equal((await owner.as('POST', `/api/admin/webhooks/${id}/deliveries/1/redeliver`)).statusCode, 404);
    await server.verifyLedger(t);
  },
);

t.test('an event an endpoint cannot digest steps aside after four attempts', async (t) => {
  const poison = await server.registerDevice();
  const receiver = await openWebhookReceiver(t, (_count, { data }) => ({
    status: data['device_id'] === poison.id ? 500 : 204,
  }));
  const { id } = await subscribe(receiver.url);
  await sql("select private.emit_event('device.registered', $1)", [{ device_id: poison.id }]);
  const next = await server.registerDevice();
  await until('the next one arrives', async () => {
    await makeDue();
    wake();
    return receiver.received.some(({ data }) => data['device_id'] === next.id) || undefined;
  });
  const devices = receiver.received.map(({ data }) => data['device_id']);
  t.strictSame(devices.slice(0, 4), Array(4).fill(poison.id));
  t.ok(devices.indexOf(next.id) >= 4, 'the next one waited as long');
  await settled(id, 'delivered');
  t.equal((await list(id, '?status=pending')).length, 1, 'and is not given up');
});

t.test('two servers deliver each event once', async (t) => {
  const receiver = await openWebhookReceiver(t);
  await subscribe(receiver.url);
  const other = await openTestServer(t, { database: server.database, environment });
  const devices = [];
  for (let count = 0; count < 10; count += 1) devices.push((await server.registerDevice()).id);
  for (const app of [server.app, other.app]) findWebhookDelivery(app).wake();
  await until('all arrived', async () =>
    (await sql("select 1 from private.webhook_deliveries where status <> 'delivered'")).length === 0 ? true : undefined,
  );
  t.strictSame(
    receiver.received.map(({ data }) => data['device_id']),
    devices,
  );
});

t.test('410 Gone ends an endpoint until it is tested', async (t) => {
  const receiver = await openWebhookReceiver(t, (count) => ({ status: count === 1 ? 410 : 204 }));
  const { id } = await subscribe(receiver.url);
  await server.registerDevice();
  wake();
  await settled(id, 'failed');
  await server.registerDevice();
  t.equal((await list(id)).length, 1, 'it gets nothing more');
  const tested = await owner.as('POST', `/api/admin/webhooks/${id}/test`);
  t.equal(tested.statusCode, 202);
  const [, event] = await receiver.get(2);
  t.match(event, { type: 'webhook.test', data: { webhook_id: id } });
  t.match((await owner.as('GET', '/api/admin/webhooks')).json(), { webhooks: [{ disabled_at: null }] });
});

t.test('the documented receiver takes what is signed, and nothing else', async (t) => {
  const page = await readFile(join(PROJECT_ROOT, 'docs/webhooks.md'), 'utf8');
  const [, source] = /```js\n(.*?)```/s.exec(page) ?? [];
  const { verify } = await import(`data:text/javascript,${encodeURIComponent(source ?? '')}`);
  const receiver = await openWebhookReceiver(t);
  const { id, secret } = await subscribe(receiver.url);
  await owner.as('POST', `/api/admin/webhooks/${id}/test`);
  const [event] = await receiver.get(1);
  t.match(verify(secret, event?.headers, event?.body), { type: 'webhook.test' });
  const other = { ...event?.headers, 'webhook-id': 'another' };
  t.throws(() => verify(secret, other, event?.body));
  t.throws(() => verify(secret, event?.headers, `${event?.body} `));
  const old = { ...event?.headers, 'webhook-timestamp': String(Math.floor(Date.now() / 1_000) - 301) };
  t.throws(() => verify(secret, old, event?.body));
  t.throws(() => verify(secret, {}, event?.body));
});

t.test('where nothing waits, nobody is told to look again', async (t) => {
  await sql('delete from private.mails');
  const rows = await sql('select claim_webhook_deliveries(1) as webhooks, claim_mails(1) as mails');
  t.match(rows, [{ webhooks: { next_seconds: null }, mails: { next_seconds: null } }]);
});

t.test('a redirect is not followed, and a deleted endpoint gets nothing', async (t) => {
  const elsewhere = await openWebhookReceiver(t);
  const receiver = await openWebhookReceiver(t, () => ({ status: 307, headers: { location: elsewhere.url } }));
  const { id } = await subscribe(receiver.url);
  await server.registerDevice();
  wake();
  await until('it failed', async () =>
    (await list(id)).some(({ failure }) => failure === 'STATUS') ? true : undefined,
  );
  t.equal(elsewhere.received.length, 0);
  t.equal((await owner.as('DELETE', `/api/admin/webhooks/${id}`)).statusCode, 200);
  t.strictSame(await sql('select 1 from private.webhook_deliveries'), []);
  t.equal((await owner.as('DELETE', `/api/admin/webhooks/${id}`)).statusCode, 404);
  t.equal((await owner.as('POST', `/api/admin/webhooks/${id}/test`)).statusCode, 404);
  t.equal((await owner.as('GET', `/api/admin/webhooks/${id}/deliveries`)).statusCode, 404);
});

t.test('owners make and remove endpoints, operators test them, viewers look', async (t) => {
  const operator = await logInAsAdmin(server, 'operator', 'operator');
  const viewer = await logInAsAdmin(server, 'viewer', 'viewer');
  const { id } = await subscribe('https://receiver.example/hook');
  const payload = { url: 'https://receiver.example/hook' };
  t.equal((await operator.as('POST', '/api/admin/webhooks', payload)).statusCode, 403);
  t.equal((await operator.as('DELETE', `/api/admin/webhooks/${id}`)).statusCode, 403);
  t.equal((await viewer.as('POST', `/api/admin/webhooks/${id}/test`)).statusCode, 403);
  t.equal((await viewer.as('GET', '/api/admin/webhooks')).statusCode, 200);
  for (let count = 1; count < 20; count += 1) await subscribe('https://receiver.example/hook');
  const refused = await owner.as('POST', '/api/admin/webhooks', payload);
  t.equal(refused.statusCode, 409);
  t.match(refused.json(), { code: 'WEBHOOK_LIMIT' });
});

t.end();
