import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import {
  createBadBodies,
  declaredStatuses,
  describeBody,
  type Endpoint,
  findFlaws,
  PREFIXES,
  readChecksums,
} from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openCustomer, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';
import { signUp } from '../../helpers/tracker.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const headers = { 'content-type': 'application/json' };
const { user } = await openCustomer(server);
const { user: subscriber, subscription } = await openSubscriber(server, stripe);

const ENDPOINTS = ['POST', 'PUT'].map((method): Endpoint => {
  const place = { path: '/subscriptions', documented: '/api/subscriptions', guarded: true, ignoresUnknown: true };
  return { method: method === 'POST' ? 'POST' : 'PUT', ...place, body: { tier: 'pro' }, fields: { tier: 'text' } };
});

t.test('every bad body is refused, Stripe is not asked, and nothing changes', async (t) => {
  const before = await readChecksums(server.database);
  const asked = stripe.requests.length;
  for (const endpoint of ENDPOINTS) {
    const declared = await declaredStatuses(server, endpoint);
    const flaws: string[] = [];
    const tiers = ['"free"', '"PRO"', '" pro"', '"enterprise"', '"__proto__"'].map((tier) => `{"tier":${tier}}`);
    for (const body of [...createBadBodies(endpoint), ...tiers]) {
      for (const person of [user, subscriber]) {
        const response = await person.as(endpoint.method, `/api${endpoint.path}`, body, headers);
        flaws.push(...findFlaws(response, describeBody(body), declared));
      }
    }
    t.strictSame(flaws, [], endpoint.method);
  }
  t.equal(stripe.requests.length, asked);
  t.strictSame(await readChecksums(server.database), before);
});

t.test('invalid queries, keys and bodies are refused, and nothing ends', async (t) => {
  const before = await readChecksums(server.database);
  const asked = stripe.requests.length;
  for (const query of ['now=yes', 'now=1', 'now=', 'now=true&now=false', 'later=true', 'now=true&x=1', 'now=%00']) {
    const response = await subscriber.as('DELETE', `/api/subscriptions?${query}`);
    t.strictSame(findFlaws(response, query, new Set([400])), []);
  }
  for (const key of ['', 'a b', 'ä', 'x'.repeat(256)]) {
    const response = await subscriber.as('DELETE', '/api/subscriptions', undefined, { 'idempotency-key': key });
    t.strictSame(findFlaws(response, `key ${key}`, new Set([400])), []);
  }
  for (const [type, body, status] of [
    ['application/json', '{', 400],
    ['application/xml', '<a/>', 415],
    ['application/json', `"${'x'.repeat(70_000)}"`, 413],
  ] as const) {
    for (const [method, path] of [
      ['POST', '/subscriptions'],
      ['PUT', '/subscriptions'],
      ['DELETE', '/subscriptions'],
      ['POST', '/subscriptions/portal'],
    ] as const) {
      const response = await subscriber.as(method, `/api${path}`, body, { 'content-type': type });
      t.equal(response.statusCode, status, `${method} ${path} ${type}`);
    }
  }
  t.equal(stripe.requests.length, asked);
  t.strictSame(await readChecksums(server.database), before);
});

t.test("without a person's token nothing is shown and nothing is done", async (t) => {
  const device = await server.registerDevice();
  const admin = await logInAsAdmin(server);
  const tracker = await signUp(server, user.email);
  const ended = await registerUser(server);
  await ended.as('POST', '/api/auth/logout');
  const asked = stripe.requests.length;
  for (const prefix of PREFIXES) {
    for (const [method, path, payload] of [
      ['GET', '/subscriptions', undefined],
      ['POST', '/subscriptions', { tier: 'pro' }],
      ['PUT', '/subscriptions', { tier: 'pro' }],
      ['DELETE', '/subscriptions?now=true', undefined],
      ['POST', '/subscriptions/portal', undefined],
    ] as const) {
      for (const token of [undefined, 'Bearer', device.token, admin.token, tracker, ended.token]) {
        const response = await server.app.inject({
          method,
          url: `${prefix}${path}`,
          headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
          ...(payload !== undefined && { payload }),
        });
        t.equal(response.statusCode, 401, `${method} ${path}`);
      }
    }
  }
  t.equal(stripe.requests.length, asked);
});

t.test('people see and change only their own subscription', async (t) => {
  const other = await openSubscriber(server, stripe);
  await other.user.as('DELETE', '/api/subscriptions?now=true');
  t.match(await readSubscription(other.user), { tier: 'free', status: 'canceled' });
  t.match(await readSubscription(subscriber), { tier: 'pro', status: 'active' });
  t.match(await readSubscription(user), { tier: 'free', status: 'none' });
  t.equal(stripe.subscriptions.get(subscription.id)?.status, 'active');
  t.equal((await user.as('DELETE', '/api/subscriptions')).statusCode, 404);
  await server.verifyLedger(t);
});

t.end();
