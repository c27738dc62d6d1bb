import { randomUUID } from 'node:crypto';
import { registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { DAY, eventObject, nowSeconds, subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: { ...stripe.environment, PAYMENT_GRACE_DAYS: '5' } });
const { database } = server;
await database.sql(`update plans set device_limit = case tier when 'free' then 2 when 'pro' then 4 end`);

function link(user: TestUser, fingerprint: string = randomUUID()) {
  return user.as('POST', '/api/devices/register', { device_name: 'Laptop', hardware_fingerprint: fingerprint });
}

/** Links devices one after another until one is refused; returns their fingerprints. */
async function linkAll(user: TestUser): Promise<string[]> {
  for (const linked: string[] = []; ; ) {
    const fingerprint = randomUUID();
    const response = await link(user, fingerprint);
    if (response.statusCode === 403) return linked;
    linked.push(fingerprint);
  }
}

t.test('a tier has room for so many linked devices; the next one is refused and not registered', async (t) => {
  const user = await registerUser(server);
  t.equal((await linkAll(user)).length, 2);
  const fingerprint = randomUUID();
  const refused = await link(user, fingerprint);
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'DEVICE_LIMIT', limit: 2 });
  const payload = { device_name: 'Laptop', hardware_fingerprint: fingerprint };
  t.equal((await sendWith(server, undefined, 'POST', '/api/devices/register', payload)).statusCode, 201, "as nobody's");
  t.equal((await link(user, fingerprint)).statusCode, 403, 'and then it is not linked either');
  t.match(await readSubscription(user), { usage: { devices: 2, device_limit: 2 } });
  await server.verifyLedger(t);
});

t.test('no more devices are linked than there is room for, even if they register at once', async (t) => {
  const user = await registerUser(server);
  const answers = await meetAtLock(server.database, accountLock(user.id, 3), () =>
    Promise.all(Array.from({ length: 12 }, () => link(user))),
  );
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 2);
  t.match(await readSubscription(user), { usage: { devices: 2 } });
  await server.verifyLedger(t);
});

t.test('a paid tier has room for more; when it ends, what is linked stays and works', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  const linked = await linkAll(user);
  t.equal(linked.length, 4);
  const ended = subscriptionObject({
    id: subscription.id,
    customer,
    created: subscription.created,
    status: 'canceled',
  });
  await deliver(server, eventObject('customer.subscription.deleted', ended));
  t.match(await readSubscription(user), { tier: 'free', usage: { devices: 4, device_limit: 2 } });
  for (const fingerprint of linked) t.match((await link(user, fingerprint)).json(), { linked: true });
  t.equal((await link(user)).statusCode, 403);
});

t.test('an unlinked device makes room, and a tier without a limit has room for any number', async (t) => {
  const user = await registerUser(server);
  const [fingerprint = ''] = await linkAll(user);
  const { device_id } = (await link(user, fingerprint)).json<{ device_id: string }>();
  await user.as('DELETE', `/api/users/me/devices/${device_id}`);
  t.equal((await link(user)).statusCode, 201);
  const { user: premium } = await openSubscriber(server, stripe, { price: 'price_1SPremiumMonthly' });
  for (let n = 0; n < 6; n += 1) t.equal((await link(premium)).statusCode, 201);
  t.match(await readSubscription(premium), { tier: 'premium', usage: { devices: 6, device_limit: null } });
});

t.test('after a failed payment the tier stays for the days of grace, then the free limits apply', async (t) => {
  const failedAt = nowSeconds() - 2 * DAY;
  const { user, customer, subscription } = await openSubscriber(server, stripe, {}, failedAt - 10);
  const facts = { id: subscription.id, customer, created: subscription.created };
  const overdue = subscriptionObject({ ...facts, status: 'past_due' });
  await deliver(server, eventObject('customer.subscription.updated', overdue, { created: failedAt }));
  const still = await readSubscription(user);
  t.match(still, { tier: 'pro', status: 'past_due', usage: { device_limit: 4 } });
  t.equal(Date.parse(still.grace_ends_at ?? ''), (failedAt + 5 * DAY) * 1000);

  const flagged = subscriptionObject({ ...facts, status: 'past_due', cancelAtPeriodEnd: true });
  await deliver(server, eventObject('customer.subscription.updated', flagged, { created: failedAt + DAY }));
  t.equal((await readSubscription(user)).grace_ends_at, still.grace_ends_at, 'the days are not counted anew');

  await database.sql(`update subscriptions set grace_ends_at = now() where user_id = $1`, [user.id]);
  t.match(await readSubscription(user), {
    tier: 'free',
    status: 'past_due',
    subscribed_tier: 'pro',
    usage: { device_limit: 2 },
  });
  t.equal((await linkAll(user)).length, 2);

  const settled = subscriptionObject(facts);
  await deliver(server, eventObject('customer.subscription.updated', settled, { created: failedAt + 2 * DAY }));
  t.match(await readSubscription(user), { tier: 'pro', status: 'active', grace_ends_at: null });
});

t.test('unpaid and incomplete subscriptions have the free tier', async (t) => {
  for (const status of ['unpaid', 'incomplete', 'incomplete_expired', 'something_new']) {
    const { user } = await openSubscriber(server, stripe, { status });
    t.match(await readSubscription(user), { tier: 'free', status, subscribed_tier: 'pro' });
  }
});

t.end();
