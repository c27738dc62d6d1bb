import { registerUser } from '../../helpers/accounts.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });

t.test('the tiers are listed with what they are worth and cost', async (t) => {
  const user = await registerUser(server);
  const { plans } = (await user.as('GET', '/api/subscriptions/plans')).json<{ plans: object[] }>();
  t.match(plans, [
    { tier: 'free', monthly_tokens: 0, device_limit: 10, for_sale: false, price: null },
    { tier: 'pro', monthly_tokens: 5_000_000, device_limit: 25, for_sale: true },
    { tier: 'premium', for_sale: true, price: { currency: 'usd', interval: 'month' } },
  ]);
  t.equal((await server.app.inject({ url: '/api/subscriptions/plans' })).statusCode, 401);
});

t.test('without Stripe, or while it does not answer, they are listed without prices', async (t) => {
  const options = { database: server.database };
  const [without, failing] = [
    await openTestServer(t, options),
    await openTestServer(t, { ...options, environment: stripe.environment }),
  ];
  stripe.setTrouble(500);
  for (const [one, for_sale] of [
    [without, false],
    [failing, true],
  ] as const) {
    const user = await registerUser(one);
    t.match((await user.as('GET', '/api/subscriptions/plans')).json(), {
      plans: [{ tier: 'free' }, { tier: 'pro', for_sale, price: null }, { tier: 'premium', for_sale, price: null }],
    });
  }
  stripe.setTrouble(undefined);
});

t.end();
