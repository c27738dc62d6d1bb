import { listVariableNotices } from '../../src/config/aliases.js';
import { parseConfig } from '../../src/config/config.js';
import t from '../helpers/run/tap.js';

t.test("names of the contracts' environments stand in for ours, which win", async (t) => {
  t.equal(parseConfig({ API_URL: 'https://api.example.com/' }).http.publicUrl, 'https://api.example.com');
  const both = { API_URL: 'https://a.example.com', PUBLIC_URL: 'https://b.example.com' };
  t.equal(parseConfig(both).http.publicUrl, 'https://b.example.com');
  const project = { SUPABASE_URL: 'https://x.supabase.co', JWT_SECRET: 'x'.repeat(32), SUPABASE_ANON_KEY: 'anon' };
  for (const name of ['SUPABASE_SERVICE_ROLE_KEY', 'SUPABASE_SERVICE_KEY', 'SERVICE_ROLE_KEY']) {
    t.match(parseConfig({ ...project, [name]: 'service' }).database, {
      kind: 'supabase',
      secretKey: 'service',
      publishableKey: 'anon',
    });
  }
});

t.test('lifetimes are taken as other servers spell them', async (t) => {
  const lifetimes = {
    3600: 3_600,
    '90s': 90,
    '15m': 900,
    '12h': 43_200,
    '7d': 604_800,
    '1w': 604_800,
    '1y': 31_557_600,
  };
  for (const [text, seconds] of Object.entries(lifetimes)) {
    const { tokens } = parseConfig({ JWT_EXPIRES_IN: text, JWT_REFRESH_EXPIRES_IN: text });
    t.match(tokens, { accessSeconds: seconds, sessionSeconds: seconds }, text);
  }
  for (const text of ['0', '7', '-1', '1.5h', '1 month', '7x', 'y', '100y']) {
    t.throws(
      () => parseConfig({ JWT_EXPIRES_IN: text }),
      /^Error: Bad configuration: JWT_EXPIRES_IN|JWT_EXPIRES_IN is not/,
    );
  }
});

t.test('what is set and not read is named where it was meant for us, without its value', async (t) => {
  const notices = listVariableNotices({
    DATBASE_URL: 'secret',
    OPENROUTER_APIKEY: 'secret',
    JWT_SERCET: 'secret',
    API_KEY: 'secret',
    STRIPE_PUBLISHABLE_KEY: 'secret',
    API_URL: 'https://api.example.com',
    DATABASE_URL: 'secret',
    NODE_ENV: 'production',
    PATH: '/bin',
    HOSTNAME: 'box',
    HOME: '/root',
    EMPTY_TO: '',
  });
  t.strictSame(notices, [
    'DATBASE_URL is not read; is DATABASE_URL meant?',
    'OPENROUTER_APIKEY is not read; is OPENROUTER_API_KEY meant?',
    'JWT_SERCET is not read; is JWT_SECRET meant?',
    'API_KEY is not read: the key of the model provider goes into OPENROUTER_API_KEY',
    'STRIPE_PUBLISHABLE_KEY is not needed: people pay on pages of Stripe',
  ]);
});

t.end();
