import { registerUser } from '../../helpers/accounts.js';
import { openStripe, SECRET_KEY, WEBHOOK_SECRET } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openCustomer, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const lines: string[] = [];
const log = { write: (line: string) => void lines.push(line) };
const environment = { ...stripe.environment, LOG_LEVEL: 'trace' };
const server = await openTestServer(t, { environment, log });
const { user } = await openCustomer(server);

t.test('a request that Stripe does not answer times out', async (t) => {
  stripe.setTrouble('hang');
  const response = await user.as('POST', '/api/subscriptions/portal');
  stripe.setTrouble(undefined);
  t.equal(response.statusCode, 503);
  t.match(response.json(), { code: 'SERVICE_UNAVAILABLE' });
  t.ok(response.headers['retry-after']);
  const [first, second] = stripe.requestsFor('POST', '/v1/billing_portal/sessions');
  t.equal(first?.headers['idempotency-key'], second?.headers['idempotency-key'], 'and asked again under the same key');
});

t.test('everything else works while Stripe cannot be reached', async (t) => {
  const nowhere = { ...environment, STRIPE_API_BASE: 'http://127.0.0.1:9' };
  const cutOff = await openTestServer(t, { environment: nowhere, database: server.database, log });
  const guest = await registerUser(cutOff);
  const response = await guest.as('POST', '/api/subscriptions', { tier: 'pro' });
  t.equal(response.statusCode, 503);
  t.match(await readSubscription(guest), { tier: 'free', status: 'none' });
});

t.test('a failure Stripe has stored under a key does not last as long as it keeps keys', async (t) => {
  const guest = await registerUser(server);
  const headers = { 'idempotency-key': 'mine' };
  const choose = () => guest.as('POST', '/api/subscriptions', { tier: 'pro' }, headers);
  stripe.breakOnce('POST', '/v1/customers');
  t.equal((await choose()).statusCode, 201);
  stripe.breakOnce('POST', '/v1/checkout/sessions');
  const again = { 'idempotency-key': 'another' };
  t.equal((await guest.as('POST', '/api/subscriptions', { tier: 'pro' }, again)).statusCode, 201);
  t.equal((await guest.as('POST', '/api/subscriptions', { tier: 'pro' }, again)).statusCode, 201);
});

t.test("neither Stripe's words nor our secrets are in the log", async (t) => {
  const quoting = {
    type: 'invalid_request_error',
    message: `Invalid API Key provided: ${SECRET_KEY} of ${user.email}`,
  };
  stripe.failOnce('POST', '/v1/billing_portal/sessions', [401, { error: quoting }]);
  t.equal((await user.as('POST', '/api/subscriptions/portal')).statusCode, 500);
  const text = lines.join('');
  t.match(text, /StripeAuthenticationError, status 401/);
  for (const secret of [SECRET_KEY, WEBHOOK_SECRET, user.email, user.token]) t.notOk(text.includes(secret), secret);
});

t.end();
