import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import { eventObject, nowSeconds, subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe, WEBHOOK_SECRET } from '../../helpers/fakes/stripe-server.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  deliver,
  listGrants,
  openCustomer,
  openSubscriber,
  post,
  readSubscription,
  signed,
  signPayload,
} from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { user, customer, subscription } = await openSubscriber(server, stripe);
const paid = eventObject('invoice.paid', createInvoice(subscription));
const { payload } = signed(paid);

t.test('a body that Stripe did not sign, for this endpoint, recently and unchanged, changes nothing', async (t) => {
  const before = await readChecksums(server.database);
  const now = nowSeconds();
  const headerAt = (timestamp: number, secret = WEBHOOK_SECRET) => signed(paid, { timestamp, secret }).header;
  const good = headerAt(now);
  const [time = '', signature = ''] = good.split(',');
  const altered = JSON.stringify({
    ...paid,
    data: { object: { ...createInvoice(subscription), customer: 'cus_other' } },
  });
  const refused: readonly (readonly [title: string, payload: string, header: string | undefined])[] = [
    ['no signature', payload, undefined],
    ['an empty one', payload, ''],
    ['another secret', payload, headerAt(now, 'whsec_other')],
    ['too old', payload, headerAt(now - 310)],
    ['too new', payload, headerAt(now + 310)],
    ['of next year', payload, headerAt(now + 31_536_000)],
    ['an altered body', altered, good],
    ['a byte more', `${payload} `, good],
    ['no body', '', good],
    ['without a time', payload, signature],
    ['without a signature', payload, time],
    ['with two times', payload, `${good},t=${now}`],
    ['with a time that is none', payload, `t=now,${signature}`],
    ['of another scheme', payload, good.replace('v1=', 'v0=')],
  ];
  for (const prefix of PREFIXES) {
    for (const [title, body, header] of refused) {
      const response = await post(server, body, header, `${prefix}/subscriptions/webhook`);
      t.equal(response.statusCode, 400, title);
      t.match(response.json(), { code: 'INVALID_SIGNATURE' }, title);
    }
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('a signed body that is no event of this mode changes nothing', async (t) => {
  const before = await readChecksums(server.database);
  for (const [code, body] of [
    ['LIVEMODE_MISMATCH', JSON.stringify({ ...paid, livemode: true })],
    ['VALIDATION_FAILED', JSON.stringify({ ...paid, livemode: 'false' })],
    ['VALIDATION_FAILED', JSON.stringify({ ...paid, id: 'evt_\u0000' })],
    ['VALIDATION_FAILED', JSON.stringify({ ...paid, id: 'x'.repeat(256) })],
    ['VALIDATION_FAILED', JSON.stringify({ ...paid, created: 1e300 })],
    ['VALIDATION_FAILED', JSON.stringify({ ...paid, data: null })],
    [
      'VALIDATION_FAILED',
      JSON.stringify({ id: 'evt_1', object: 'v2.core.event', type: 'v1.billing.meter.no_meter_found' }),
    ],
    ['VALIDATION_FAILED', '[]'],
    ['VALIDATION_FAILED', '"event"'],
    ['VALIDATION_FAILED', payload.slice(0, -1)],
    ['VALIDATION_FAILED', 'event'],
  ] as const) {
    const response = await post(server, body, signPayload(body));
    t.equal(response.statusCode, 400, body.slice(0, 60));
    t.match(response.json(), { code });
  }
  t.strictSame(await readChecksums(server.database), before);
});

t.test('malformed objects in events are ignored or fetched, never trusted', async (t) => {
  const before = await readChecksums(server.database);
  const wrong = [null, 1, '', 'x'.repeat(300), '\u0000', [], {}, -1, 1e300];
  const fields = [
    'id',
    'customer',
    'status',
    'created',
    'items',
    'metadata',
    'cancel_at',
    'cancel_at_period_end',
  ] as const;
  for (const field of fields) {
    for (const value of wrong) {
      const object = { ...subscription, [field]: value };
      const response = await deliver(server, eventObject('customer.subscription.updated', object, { created: 1 }));
      t.ok([200, 400].includes(response.statusCode), `${field}: ${JSON.stringify(value)}: ${response.statusCode}`);
    }
  }
  const events = await server.database.sql('delete from private.stripe_events where created_at < $1 returning 1', [
    '1970-01-02',
  ]);
  t.ok(events.length > 0, 'those that could be told to be older were noted');
  const after = await readChecksums(server.database);
  t.strictSame({ ...after, 'public.subscriptions': '' }, { ...before, 'public.subscriptions': '' });
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
});

t.test('five minutes are allowed in both directions, and one good signature among several is enough', async (t) => {
  const person = await openCustomer(server);
  const own = subscriptionObject({ customer: person.customer, userId: person.user.id });
  for (const [offset, event] of [
    [-290, eventObject('customer.subscription.created', own)],
    [290, eventObject('invoice.paid', createInvoice(own))],
  ] as const) {
    t.equal((await deliver(server, event, { timestamp: nowSeconds() + offset })).statusCode, 200);
  }
  t.match(await readSubscription(person.user), { tier: 'pro', usage: { tokens_granted: 5_000_000 } });
  const rolled = signed(paid).header.replace('v1=', `v1=${'0'.repeat(64)},v1=`);
  t.equal((await post(server, payload, rolled)).statusCode, 200, 'as while a secret is being rolled');
  t.strictSame(await listGrants(server, user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test('a live key takes live events only', async (t) => {
  const environment = { ...stripe.environment, STRIPE_SECRET_KEY: 'rk_live_stand-in' };
  const live = await openTestServer(t, { environment, database: server.database });
  const [test, real] = [eventObject('customer.created', {}), eventObject('customer.created', {}, { livemode: true })];
  const refused = await deliver(live, test);
  t.equal(refused.statusCode, 400);
  t.match(refused.json(), { code: 'LIVEMODE_MISMATCH' });
  t.equal((await deliver(live, real)).statusCode, 200);
  t.equal((await deliver(server, real)).statusCode, 400, 'and a test key test events only');
});

t.test("bodies may be as large as Stripe's, up to 1 MiB, and must be JSON", async (t) => {
  const large = eventObject('customer.created', { id: customer, padding: 'x'.repeat(900 * 1024) });
  t.equal((await deliver(server, large)).statusCode, 200);
  const tooLarge = eventObject('customer.created', { padding: 'x'.repeat(1024 * 1024) });
  const refused = await deliver(server, tooLarge);
  t.equal(refused.statusCode, 413);
  t.match(refused.json(), { code: 'PAYLOAD_TOO_LARGE' });
  const { header } = signed(paid);
  const form = await server.app.inject({
    method: 'POST',
    url: '/api/subscriptions/webhook',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'stripe-signature': header },
    payload,
  });
  t.equal(form.statusCode, 415);
});

t.end();
