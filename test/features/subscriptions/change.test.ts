import { DAY, nowSeconds, PRICE_PREMIUM, PRICE_PRO } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  assertFromUs,
  openCustomer,
  openSubscriber,
  readSubscription,
  recordRequests,
} from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const environment: Record<string, string> = { ...stripe.environment, PUBLIC_URL: 'https://tokens.example.com/' };
const server = await openTestServer(t, { environment });

const asked = (act: () => Promise<unknown>) => recordRequests(stripe, act);

t.test('a higher tier is charged for the rest of the period at once, a lower one credited', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  const path = `/v1/subscriptions/${subscription.id}`;
  const [item] = subscription.items.data;
  for (const [tier, price, proration_behavior] of [
    ['premium', PRICE_PREMIUM, 'always_invoice'],
    ['pro', PRICE_PRO, 'create_prorations'],
  ] as const) {
    const [read, write, ...more] = await asked(async () => {
      const response = await user.as('PUT', '/api/subscriptions', { tier });
      t.equal(response.statusCode, 200);
      t.match(response.json(), { tier, status: 'active', subscribed_tier: tier });
    });
    t.match(
      [read, write],
      [
        { method: 'GET', path },
        { method: 'POST', path },
      ],
    );
    assertFromUs(t, read, {});
    assertFromUs(t, write, {
      'items[0][id]': item?.id,
      'items[0][price]': price,
      proration_behavior,
      payment_behavior: 'error_if_incomplete',
    });
    t.strictSame(more, []);
  }
  const same = await asked(() => user.as('PUT', '/api/subscriptions', { tier: 'pro' }));
  t.strictSame(
    same.map(({ method }) => method),
    ['GET'],
    'the tier it has already needs no change',
  );
});

t.test('a change that cannot be paid changes nothing', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  const refusal = { type: 'card_error', code: 'card_declined', message: 'Your card ending in 4242 was declined.' };
  stripe.failOnce('POST', `/v1/subscriptions/${subscription.id}`, [402, { error: refusal }]);
  const response = await user.as('PUT', '/api/subscriptions', { tier: 'premium' });
  t.equal(response.statusCode, 402);
  t.match(response.json(), { code: 'PAYMENT_FAILED' });
  t.notMatch(response.payload, /4242|declined/, 'in our own words');
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
});

t.test("a payment the bank wants confirmed hands back Stripe's page to confirm it on", async (t) => {
  for (const code of ['authentication_required', 'subscription_payment_intent_requires_action']) {
    const { user, customer, subscription } = await openSubscriber(server, stripe);
    const path = `/v1/subscriptions/${subscription.id}`;
    stripe.failOnce('POST', path, [402, { error: { type: 'card_error', code } }]);
    const requests = await asked(async () => {
      const response = await user.as('PUT', '/api/subscriptions', { tier: 'premium' });
      t.equal(response.statusCode, 402);
      t.match(response.json(), {
        code: 'PAYMENT_CONFIRMATION_REQUIRED',
        confirm_url: /^https:\/\/billing\.stripe\.com\//,
      });
    });
    const returnUrl = 'https://tokens.example.com/dashboard';
    assertFromUs(t, requests.at(-1), {
      customer,
      return_url: returnUrl,
      'flow_data[type]': 'subscription_update_confirm',
      'flow_data[subscription_update_confirm][subscription]': subscription.id,
      'flow_data[subscription_update_confirm][items][0][id]': subscription.items.data[0]?.id,
      'flow_data[subscription_update_confirm][items][0][price]': PRICE_PREMIUM,
      'flow_data[after_completion][type]': 'redirect',
      'flow_data[after_completion][redirect][return_url]': returnUrl,
    });
    t.match(await readSubscription(user), { tier: 'pro', status: 'active' }, 'nothing changed yet');
  }
});

t.test('a subscription ends with its period or at once, and goes on if a tier is chosen before that', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe, { periodStart: nowSeconds() - DAY });
  const path = `/v1/subscriptions/${subscription.id}`;
  const [end] = await asked(async () => {
    const response = await user.as('DELETE', '/api/subscriptions');
    t.equal(response.statusCode, 200);
    t.match(response.json(), { tier: 'pro', status: 'active', cancel_at_period_end: true });
  });
  t.match(end, { method: 'POST', path });
  assertFromUs(t, end, { cancel_at_period_end: 'true' });

  const [, resume] = await asked(() => user.as('PUT', '/api/subscriptions', { tier: 'pro' }));
  assertFromUs(t, resume, { cancel_at_period_end: 'false' });
  t.match(await readSubscription(user), { tier: 'pro', cancel_at_period_end: false });

  const [now] = await asked(async () => {
    const response = await user.as('DELETE', '/api/subscriptions?now=true');
    t.match(response.json(), { tier: 'free', status: 'canceled' });
  });
  t.match(now, { method: 'DELETE', path });
  assertFromUs(t, now, {});
});

t.test("an end set on Stripe's own pages is shown, and can be undone", async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe, { cancelAt: nowSeconds() + DAY });
  t.match(await readSubscription(user), { cancel_at_period_end: true });
  const [, resume] = await asked(() => user.as('PUT', '/api/subscriptions', { tier: 'pro' }));
  t.match(resume, { path: `/v1/subscriptions/${subscription.id}`, form: { cancel_at: '' } });
});

t.test('while Stripe is down or slow, it is 503 and nothing of its words gets out', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  const { user: guest } = await openCustomer(server);
  for (const trouble of [500, 503, 429] as const) {
    stripe.setTrouble(trouble);
    const answers = [
      await guest.as('POST', '/api/subscriptions', { tier: 'pro' }),
      await guest.as('POST', '/api/subscriptions/portal'),
      await user.as('PUT', '/api/subscriptions', { tier: 'premium' }),
      await user.as('DELETE', '/api/subscriptions'),
    ];
    stripe.setTrouble(undefined);
    for (const response of answers) {
      t.equal(response.statusCode, 503, `Stripe answers ${trouble}`);
      t.match(response.json(), { code: 'SERVICE_UNAVAILABLE' });
      t.notMatch(response.payload, /stripe|Down/i);
    }
  }
  t.match(await readSubscription(user), { tier: 'pro', status: 'active', cancel_at_period_end: false });
  t.equal(stripe.subscriptions.get(subscription.id)?.status, 'active');
});

t.end();
