import t from 'tap';
import { parseConfig } from '../../src/config/config.js';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import { StartupError } from '../../src/config/startup-error.js';

type Variables = Record<string, string>;

const SECRET = 'a-secret-of-more-than-32-characters';

/** The sentence a configuration is refused with, empty where it is accepted. */
function readRefusal(variables: Variables): string {
  try {
    parseConfig(variables);
    return '';
  } catch (error) {
    if (error instanceof StartupError) return error.message;
    throw error;
  }
}

/** The variables a refusal calls not valid, or missing. */
function namedIn(refusal: string, complaint: 'is not valid' | 'is missing'): string[] {
  return [...refusal.matchAll(new RegExp(`(?:^Bad configuration: |; )([A-Z0-9_]+) ${complaint}`, 'g'))].map(
    ([, name = '']) => name,
  );
}

const INVALID: readonly (readonly [name: string, value: string])[] = [
  ['PORT', 'eighty'],
  ['PORT', '-1'],
  ['PORT', '65536'],
  ['LOG_LEVEL', 'verbose'],
  ['TRUST_PROXY', 'foo'],
  ['TRUST_PROXY', '10.0.0.0/33'],
  ['TRUST_PROXY', '999.1.1.1'],
  ['PUBLIC_URL', 'tokens.example.com'],
  ['DATABASE_URL', 'mysql://someone:pa55word@db.example.com/ledger'],
  ['SUPABASE_URL', 'project.supabase.example'],
  ['JWT_SECRET', 'thirty-one-characters-too-short'],
  ['ADMIN_USERNAME', 'x'.repeat(101)],
  ['ADMIN_PASSWORD', 'seven77'],
  ['ADMIN_PASSWORD', 'y'.repeat(257)],
  ['DEFAULT_DEVICE_TOKENS', 'many'],
  ['DEFAULT_DEVICE_TOKENS', '-5'],
  ['DEFAULT_DEVICE_TOKENS', '1000000000001'],
  ['DEVICE_ENROLLMENT', 'shut'],
  ['ENROLLMENT_KEY', 'seven77'],
  ['JWT_EXPIRES_IN', '7'],
  ['JWT_EXPIRES_IN', '0d'],
  ['JWT_REFRESH_EXPIRES_IN', '30 days'],
  ['SUPABASE_JWT_SECRET', 'thirty-one-characters-too-short'],
  ['PROMPT_THRESHOLD', '-1'],
  ['EMAIL_ONLY_SIGNUP', 'maybe'],
  ['GOOGLE_ISSUER', 'accounts.example.com'],
  ['GOOGLE_ISSUER', 'http://accounts.example.com'],
  ['GITHUB_API_URL', 'http://api.example.com'],
  ['OAUTH_REDIRECT_URIS', '*'],
  ['OAUTH_REDIRECT_URIS', 'https://a.example.com/, https://*.example.com/'],
  ['SMTP_URL', 'https://mail.example.com'],
  ['SMTP_URL', 'smtp://user:pa55word@mail.example.com:99999999'],
  ['STRIPE_API_BASE', 'http://stripe.example.com'],
  ['STRIPE_API_BASE', 'https://stripe.example.com/v1'],
  ['STRIPE_PRICE_PRO', 'price one'],
  ['STRIPE_PRICE_PREMIUM', 'price_1;price_2'],
  ['PAYMENT_GRACE_DAYS', '91'],
  ['FROM_EMAIL', 'nobody'],
  ['CORS_ORIGINS', 'https://*.example.com'],
  ['CORS_ORIGINS', 'moz-extension://*x'],
  ['CORS_ORIGINS', 'https://app.example.com/'],
  ['CORS_ORIGINS', 'https://one.example.com, two.example.com'],
  ['RATE_LIMIT', 'sometimes'],
  ['SIGNUP', 'ajar'],
  ['RATE_LIMIT_DEVICE', 'plenty'],
  ['RATE_LIMIT_USER', '600,'],
  ['RATE_LIMIT_USER', '11,22,33,44'],
  ['REDIS_URL', 'https://user:pa55word@redis.example.com'],
  ['TRACKER_DAY_TOKENS', 'lots'],
];
/** What some variables want beside them. */
const COMPANIONS: Readonly<Record<string, Variables>> = {
  SUPABASE_URL: { SUPABASE_SECRET_KEY: 'key' },
  SMTP_URL: { FROM_EMAIL: 'tokens@example.com', PUBLIC_URL: 'https://tokens.example.com' },
};

t.test('with nothing set the database is the embedded one and every default holds', async (t) => {
  const config = parseConfig({});
  t.match(config, {
    http: { host: '127.0.0.1', port: 3000, logLevel: 'info', corsOrigins: '*' },
    limits: { requests: { device: [600], user: [600, 1_200, 2_400] } },
    admin: { username: 'admin' },
    devices: { defaultTokens: 50, enrollment: 'open' },
  });
  t.strictSame(config.database, { kind: 'embedded', dataDir: './data', poolSize: 12 });
  t.equal(config.tokens.secret, undefined);
  t.equal(config.admin.password, undefined);
});

t.test('an empty variable counts as absent, and a variable that is not ours is no business of ours', async (t) => {
  const empty = Object.fromEntries(Object.keys(EnvironmentSchema.properties).map((name) => [name, '']));
  t.strictSame(parseConfig({ ...empty, DATABASE_URL: '', SUPABASE_URL: '', JWT_SECRET: '' }), parseConfig({}));
  t.strictSame(parseConfig({ PORTS: 'x', port: 'x' }), parseConfig({}));
});

t.test('numbers are read in full, and only as plain decimals', async (t) => {
  t.equal(parseConfig({ PORT: '0' }).http.port, 0);
  t.equal(parseConfig({ PORT: '65535' }).http.port, 65_535);
  t.equal(parseConfig({ DEFAULT_DEVICE_TOKENS: '1000000000000' }).devices.defaultTokens, 1_000_000_000_000);
  for (const value of ['1e3', '80.9', '0x50', 'true']) {
    t.strictSame(namedIn(readRefusal({ PORT: value }), 'is not valid'), ['PORT'], `PORT=${value}`);
  }
});

t.test('a value that is not valid is refused by its name and what the variable is for, never printed', async (t) => {
  for (const [name, value] of INVALID) {
    const refusal = readRefusal({ JWT_SECRET: SECRET, ...COMPANIONS[name], [name]: value });
    t.strictSame(namedIn(refusal, 'is not valid'), [name], `${name} is refused`);
    t.match(refusal, /is not valid \(.{10,}\)/, `${name} is explained`);
    t.notOk(refusal.includes(value), `the value of ${name} stays out of the message`);
  }
});

t.test('all bad variables are named at once, in one line', async (t) => {
  const bad = Object.fromEntries(INVALID);
  const refusal = readRefusal(bad);
  t.strictSame(namedIn(refusal, 'is not valid').sort(), Object.keys(bad).sort());
  t.strictSame(namedIn(refusal, 'is missing'), ['SUPABASE_SECRET_KEY'], 'and what is missing with them');
  t.notOk(refusal.includes('\n'));
  for (const value of Object.values(bad)) t.notOk(refusal.includes(value));
});

t.test('variables that contradict each other are refused', async (t) => {
  const direct = { DATABASE_URL: 'postgres://db.example.com/ledger' };
  const supabase = { SUPABASE_URL: 'https://project.supabase.example', SUPABASE_SECRET_KEY: 'key' };
  t.match(readRefusal({ ...direct, ...supabase, JWT_SECRET: SECRET }), 'SUPABASE_URL and DATABASE_URL are both set');
  t.strictSame(namedIn(readRefusal(direct), 'is missing'), ['JWT_SECRET']);
  t.strictSame(namedIn(readRefusal({ SUPABASE_URL: supabase.SUPABASE_URL }), 'is missing'), [
    'SUPABASE_SECRET_KEY',
    'JWT_SECRET',
  ]);
  t.strictSame(namedIn(readRefusal({ DEVICE_ENROLLMENT: 'key' }), 'is missing'), ['ENROLLMENT_KEY']);
  t.strictSame(namedIn(readRefusal({ GITHUB_CLIENT_ID: 'id' }), 'is missing'), ['GITHUB_CLIENT_SECRET']);
  t.strictSame(namedIn(readRefusal({ STRIPE_SECRET_KEY: 'sk_test_1' }), 'is missing'), ['STRIPE_WEBHOOK_SECRET']);
  const prices = { STRIPE_PRICE_PRO: 'price_1, price_2', STRIPE_PRICE_PREMIUM: 'price_3,price_2' };
  t.match(readRefusal(prices), 'STRIPE_PRICE_PRO and STRIPE_PRICE_PREMIUM name the same price');
  for (const mail of [{ SMTP_URL: 'smtp://mail.example.com' }, { SENDGRID_API_KEY: 'key' }]) {
    t.strictSame(namedIn(readRefusal(mail), 'is missing'), ['FROM_EMAIL', 'PUBLIC_URL']);
  }
  const both = { ...COMPANIONS['SMTP_URL'], SMTP_URL: 'smtp://mail.example.com', SENDGRID_API_KEY: 'key' };
  t.match(readRefusal(both), 'SMTP_URL and SENDGRID_API_KEY are both set');
});

t.test('what is set decides where the database is', async (t) => {
  const connectionString = 'postgresql://db.example.com/ledger';
  t.strictSame(parseConfig({ DATABASE_URL: connectionString, JWT_SECRET: SECRET }).database, {
    kind: 'direct',
    connectionString,
    poolSize: 12,
  });
  const url = 'https://project.supabase.example';
  t.strictSame(parseConfig({ SUPABASE_URL: url, SUPABASE_SECRET_KEY: 'key', JWT_SECRET: SECRET }).database, {
    kind: 'supabase',
    url,
    secretKey: 'key',
  });
  t.strictSame(parseConfig({ DATA_DIR: '/srv/ledger' }).database, {
    kind: 'embedded',
    dataDir: '/srv/ledger',
    poolSize: 12,
  });
});

t.test('durations are read as seconds, and the public address ends without a slash', async (t) => {
  for (const [duration, seconds] of [
    ['90s', 90],
    ['15m', 900],
    ['2h', 7_200],
    ['30d', 2_592_000],
  ] as const) {
    t.equal(parseConfig({ JWT_EXPIRES_IN: duration }).tokens.accessSeconds, seconds);
  }
  t.equal(
    parseConfig({ PUBLIC_URL: 'https://tokens.example.com/ledger//' }).http.publicUrl,
    'https://tokens.example.com/ledger',
  );
  t.equal(parseConfig({ PORT: '8080' }).http.publicUrl, 'http://127.0.0.1:8080');
});

t.test('providers may be reached without encryption on this machine only', async (t) => {
  for (const host of ['127.0.0.1:9', '[::1]:9', 'localhost:9']) {
    const { signIn } = parseConfig({
      GOOGLE_ISSUER: `http://${host}`,
      GOOGLE_CLIENT_ID: 'id',
      GOOGLE_CLIENT_SECRET: 'secret',
    });
    t.equal(signIn.google?.issuer, `http://${host}`);
  }
});

t.test('the configuration cannot be changed after it was read', async (t) => {
  const config = parseConfig({});
  t.throws(() => Object.assign(config.http, { port: 1 }), TypeError);
  t.equal(config.http.port, 3000);
});
