import { parseConfig } from '../../src/config/config.js';
import t from '../helpers/run/tap.js';

const CANARY = 'canary-canary-canary-canary-canary-canary';
const SECRETS = {
  DATABASE_URL: `postgres://user:${CANARY}@127.0.0.1/db`,
  JWT_SECRET: CANARY,
  ADMIN_PASSWORD: CANARY,
  PASSWORD_PEPPER: CANARY,
  DEVICE_ENROLLMENT: 'key',
  ENROLLMENT_KEY: CANARY,
  OPENROUTER_API_KEY: CANARY,
  STRIPE_SECRET_KEY: `sk_test_${CANARY}`,
  STRIPE_WEBHOOK_SECRET: `whsec_${CANARY}`,
  STRIPE_PRICE_PRO: 'price_pro',
  STRIPE_PRICE_PREMIUM: 'price_premium',
  GOOGLE_CLIENT_ID: 'client',
  GOOGLE_CLIENT_SECRET: CANARY,
  REDIS_URL: `redis://user:${CANARY}@127.0.0.1`,
  SMTP_URL: `smtps://user:${CANARY}@127.0.0.1`,
  FROM_EMAIL: 'sender@example.com',
  METRICS_TOKEN: CANARY,
  PUBLIC_URL: `https://user:${CANARY}@example.com`,
};

t.test('what admins read of the configuration has no secret in it', async (t) => {
  const { capabilities, sections } = parseConfig(SECRETS).overview;
  t.notMatch(JSON.stringify({ capabilities, sections }), /canary/);
  const settings = new Map(sections.flatMap((section) => section.settings).map((setting) => [setting.name, setting]));
  t.match(settings.get('STRIPE_SECRET_KEY'), { set: true, hidden: true, value: null });
  t.match(settings.get('PUBLIC_URL'), { set: true, hidden: false, value: 'https://example.com' });
  t.match(settings.get('GITHUB_CLIENT_ID'), { set: false, hidden: false, value: null });
  const on = capabilities.filter((capability) => capability.on).map(({ name }) => name);
  t.ok(['chat', 'payments', 'mail', 'google_sign_in', 'shared_limits'].every((name) => on.includes(name)));
});

t.test('what is off names the fewest variables that would switch it on', async (t) => {
  const { capabilities } = parseConfig({ FROM_EMAIL: 'sender@example.com' }).overview;
  const missing = Object.fromEntries(capabilities.map((capability) => [capability.name, capability.missing]));
  t.match(missing, {
    chat: ['OPENROUTER_API_KEY'],
    payments: ['STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET'],
    monthly_reset: ['MONTHLY_RESET=auto'],
  });
  t.equal(missing['mail']?.length, 1, 'the sender is there');
});

t.end();
