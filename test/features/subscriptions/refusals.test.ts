import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openCustomer, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const lines: string[] = [];
const log = { write: (line: string) => void lines.push(line) };
const server = await openTestServer(t, { environment: { ...stripe.environment, LOG_LEVEL: 'warn' }, log });

const invalid = (fields: object) => ({ type: 'invalid_request_error', ...fields });

t.test('what Stripe refuses for good is told apart from trouble that passes, and the log names its code', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  const path = `/v1/subscriptions/${subscription.id}`;
  for (const [error, stripeStatus, status, code] of [
    [
      invalid({ code: 'resource_missing', message: 'This customer has no attached payment source' }),
      400,
      402,
      'PAYMENT_METHOD_MISSING',
    ],
    [invalid({ code: 'resource_missing', param: 'default_payment_method' }), 400, 402, 'PAYMENT_METHOD_MISSING'],
    [{ type: 'card_error', code: 'expired_card' }, 402, 402, 'PAYMENT_FAILED'],
    [
      invalid({ message: 'You cannot combine currencies on a single customer.' }),
      400,
      409,
      'BILLING_CURRENCY_MISMATCH',
    ],
    [
      invalid({ message: 'The subscription is managed by the subscription schedule `sub_sched_1`' }),
      400,
      409,
      'SUBSCRIPTION_SCHEDULED',
    ],
    [invalid({ code: 'resource_missing', param: 'items[0][price]' }), 400, 500, 'PAYMENTS_MISCONFIGURED'],
    [invalid({ code: 'parameter_unknown', param: 'payment_behaviour' }), 400, 500, 'PAYMENTS_MISCONFIGURED'],
    [invalid({ message: 'Invalid API Key provided' }), 401, 500, 'PAYMENTS_MISCONFIGURED'],
    [invalid({ code: 'more_permissions_required' }), 403, 500, 'PAYMENTS_MISCONFIGURED'],
    [invalid({ code: 'lock_timeout' }), 429, 503, 'SERVICE_UNAVAILABLE'],
    [{ type: 'idempotency_error', code: 'idempotency_key_in_use' }, 409, 503, 'SERVICE_UNAVAILABLE'],
    [{ type: 'api_error' }, 500, 503, 'SERVICE_UNAVAILABLE'],
  ] as const) {
    lines.length = 0;
    stripe.failOnce('POST', path, [stripeStatus, { error }]);
    const response = await user.as('PUT', '/api/subscriptions', { tier: 'premium' });
    // Trouble that passes is tried again once, and then goes well.
    if (status === 503 && response.statusCode === 200) {
      await user.as('PUT', '/api/subscriptions', { tier: 'pro' });
      continue;
    }
    t.equal(response.statusCode, status, JSON.stringify(error));
    t.match(response.json(), { code });
    t.equal(response.headers['retry-after'] !== undefined, status === 503);
    t.notMatch(response.payload, /customer|sub_sched|API Key/);
    const [line = ''] = lines.filter((one) => one.includes('Stripe: '));
    t.match(line, `status ${stripeStatus}, ${'code' in error ? error.code : 'no code'}`);
    t.match(line, `parameter ${'param' in error ? error.param : 'none'}`);
  }
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
});

t.test('an address Stripe refuses, and a portal that is not set up, say so', async (t) => {
  const { user } = await openCustomer(server);
  stripe.failOnce('POST', '/v1/billing_portal/sessions', [
    400,
    {
      error: invalid({
        message: 'No configuration provided and your test mode default configuration has not been created.',
      }),
    },
  ]);
  t.match((await user.as('POST', '/api/subscriptions/portal')).json(), { code: 'PAYMENTS_MISCONFIGURED' });
  stripe.failOnce('POST', '/v1/checkout/sessions', [
    400,
    { error: invalid({ code: 'email_invalid', param: 'email' }) },
  ]);
  const response = await user.as('POST', '/api/subscriptions', { tier: 'pro' });
  t.equal(response.statusCode, 409);
  t.match(response.json(), { code: 'BILLING_EMAIL_REFUSED' });
});

t.test('what has ended at Stripe already has ended here, whoever is told first', async (t) => {
  for (const path of ['/api/subscriptions', '/api/subscriptions?now=true']) {
    const { user, subscription } = await openSubscriber(server, stripe);
    stripe.subscriptions.set(subscription.id, { ...subscription, status: 'canceled' });
    const response = await user.as('DELETE', path);
    t.equal(response.statusCode, 200, path);
    t.match(response.json(), { tier: 'free', status: 'canceled' });
    t.equal((await user.as('DELETE', path)).statusCode, 404);
  }
  const { user, subscription } = await openSubscriber(server, stripe);
  stripe.subscriptions.set(subscription.id, { ...subscription, status: 'canceled' });
  const response = await user.as('PUT', '/api/subscriptions', { tier: 'premium' });
  t.equal(response.statusCode, 404);
  t.match(response.json(), { code: 'SUBSCRIPTION_NOT_FOUND' });
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
});

t.end();
