import { type Static, Type } from '@sinclair/typebox';
import { PoolSize } from './pool-size.js';
import { Workers } from './workers.js';

const Secret = (description: string) => Type.Optional(Type.String({ minLength: 32, description }));
const Key = (description: string) => Type.Optional(Type.String({ minLength: 1, description }));
const Price = (description: string) =>
  Type.Optional(Type.String({ pattern: '^[\\w-]{1,100}(, ?[\\w-]{1,100}){0,9}$', description }));
const Address = (address: string, description: string) =>
  Type.String({ default: address, pattern: '^https?://', description });
const Most = (most: number, description: string) =>
  Type.Integer({ default: most, minimum: 1, maximum: 1_000_000_000_000_000, description });
const PerMinute = (quota: number, description: string) =>
  Type.Integer({ default: quota, minimum: 1, maximum: 1_000_000_000_000, description });
/** One number for each tier: free, pro, premium; the last one given holds for those after it. */
const PerMinuteByTier = (quotas: string, description: string) =>
  Type.String({ default: quotas, pattern: '^[1-9][0-9]{0,11}(, ?[1-9][0-9]{0,11}){0,2}$', description });
const Duration = (duration: string, description: string) =>
  Type.String({ default: duration, pattern: '^[1-9][0-9]{0,6}[smhd]$', description });
/** Few seconds without a unit are a mistake: somebody meant days. */
const Lifetime = (duration: string, description: string) =>
  Type.String({
    default: duration,
    pattern: '^([1-9][0-9]{2,8}|[1-9][0-9]{0,6}s|[1-9][0-9]{0,6}[mhd]|[1-9][0-9]{0,3}w|[1-9][0-9]?y)$',
    description,
  });

const Http = {
  HOST: Type.String({ default: '127.0.0.1', description: 'Address to listen on; 0.0.0.0 for every interface.' }),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 picks a free one.',
  }),
  PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'Address clients reach the server at; mails, sign-ins and the documentation name it.',
    }),
  ),
  TRUST_PROXY: Type.String({
    default: 'loopback',
    description: 'Proxies whose X-Forwarded-For is believed: addresses, ranges or loopback; false for none.',
  }),
  CORS_ORIGINS: Type.String({
    default: '*',
    description:
      'Origins browsers may call from, such as https://app.example.com, separated by commas; moz-extension://*, chrome-extension://* and safari-web-extension://* for all such extensions; * for all.',
  }),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'trace, debug, info, warn, error, fatal or silent.' },
  ),
};

const Limits = {
  RATE_LIMIT: Type.Union([Type.Literal('on'), Type.Literal('off')], {
    default: 'on',
    description: 'on, or off for load tests: then none of the limits below holds.',
  }),
  REDIS_URL: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description:
        'Redis in which all servers count together, redis:// or rediss://; without it each counts by itself.',
    }),
  ),
  RATE_LIMIT_ADDRESS: PerMinute(6_000, 'Requests a minute of one address, or of one /64 network of IPv6 addresses.'),
  RATE_LIMIT_REGISTRATION: PerMinute(120, 'Device registrations a minute of one address.'),
  RATE_LIMIT_ACCOUNT: PerMinute(
    60,
    'Requests a minute of one address that need no token and may cost a password hash or a mail.',
  ),
  RATE_LIMIT_DEVICE: PerMinute(600, 'Requests a minute of one device.'),
  RATE_LIMIT_DEVICE_TOKENS: PerMinute(100_000, 'Device tokens one device may use in a minute.'),
  RATE_LIMIT_USER: PerMinuteByTier(
    '600,1200,2400',
    'Requests a minute of one account: of the tiers free, pro and premium, separated by commas.',
  ),
  RATE_LIMIT_USER_TOKENS: PerMinuteByTier(
    '1000000,2000000,4000000',
    'Language-model tokens one account may use in a minute, of each tier.',
  ),
  RATE_LIMIT_API_KEY: PerMinute(600, "Requests a minute of one API key, which count for its account's limit too."),
  RATE_LIMIT_ADMIN: PerMinute(600, 'Requests a minute of one admin.'),
  RATE_LIMIT_TRACKER: PerMinute(120, 'Requests a minute of all trackers of one account.'),
};

const Database = {
  DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'Where the embedded Postgres keeps its data.',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'Use this Postgres instead of the embedded one.' }),
  ),
  ...PoolSize,
  SUPABASE_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: "Use this Supabase project's Data API." }),
  ),
  SUPABASE_SECRET_KEY: Type.Optional(
    Type.String({ minLength: 1, description: "The project's secret (or service_role) key; needed with SUPABASE_URL." }),
  ),
  SUPABASE_PUBLISHABLE_KEY: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "The project's publishable (or anon) key, for requests in a user's own name; falls back to the secret key.",
    }),
  ),
  SUPABASE_JWT_SECRET: Secret(
    "The project's legacy JWT secret; signs the short-lived tokens that read a user's own data.",
  ),
  SUPABASE_JWT_SIGNING_KEY: Type.Optional(
    Type.String({
      minLength: 2,
      description: 'Instead of SUPABASE_JWT_SECRET: a private ES256 key as JSON (JWK), imported into the project.',
    }),
  ),
  RETENTION_MONTHS: Type.Integer({
    default: 24,
    minimum: 1,
    maximum: 1200,
    description: 'Full months for which usage events are kept, besides the current one; summaries stay.',
  }),
};

const Tokens = {
  JWT_SECRET: Secret(
    'Signs client tokens, 32 characters at least; several, separated by commas, to rotate: the first signs, all verify. Generated and kept in DATA_DIR when embedded.',
  ),
  JWT_EXPIRES_IN: Lifetime(
    '7d',
    'How long an access token lasts: a number and s, m, h, d, w or y; from 100 on seconds without one.',
  ),
  JWT_REFRESH_EXPIRES_IN: Lifetime('30d', 'How long a session lasts without being refreshed.'),
  ADMIN_USERNAME: Type.String({
    default: 'admin',
    minLength: 1,
    maxLength: 100,
    description: 'Name of the first admin.',
  }),
  ADMIN_PASSWORD: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'Password of the first admin; generated when embedded.' }),
  ),
  PASSWORD_PEPPER: Type.Optional(
    Type.String({
      pattern: '^[^,\\s]{32,}(, ?[^,\\s]{32,}){0,9}$',
      description:
        'Secret of 32 characters at least that is mixed into password hashes; earlier ones, after commas, still verify.',
    }),
  ),
  BREACHED_PASSWORDS_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'Sorted list of SHA-1 digests of leaked passwords, as haveibeenpwned publishes it; new ones on it are refused.',
    }),
  ),
  ADMIN_2FA: Type.Union([Type.Literal('optional'), Type.Literal('required')], {
    default: 'optional',
    description: 'required: an admin without a second factor can do nothing but set one up.',
  }),
};

const Grants = {
  DEFAULT_DEVICE_TOKENS: Type.Integer({
    default: 50,
    minimum: 0,
    maximum: 1_000_000_000_000,
    description: 'Tokens a new device starts with.',
  }),
  DEFAULT_USER_TOKENS: Type.Integer({
    default: 1_000_000,
    minimum: 0,
    maximum: 1_000_000_000_000,
    description: 'Tokens an account starts with, once per verified address; see SIGNUP.',
  }),
  SIGNUP: Type.Optional(
    Type.Union([Type.Literal('open'), Type.Literal('verified'), Type.Literal('invite'), Type.Literal('closed')], {
      description:
        'Who may have an account. open: anybody, with DEFAULT_USER_TOKENS at once; verified: anybody, with the tokens once the address is verified; invite: only with an invitation; closed: no new accounts. Without it verified where chat or payments are set up, open elsewhere.',
    }),
  ),
  MONTHLY_RESET: Type.Union([Type.Literal('off'), Type.Literal('auto')], {
    default: 'off',
    description: 'auto: at the start of each month (UTC) every device gets a fresh DEFAULT_DEVICE_TOKENS.',
  }),
  DEVICE_ENROLLMENT: Type.Union([Type.Literal('open'), Type.Literal('key'), Type.Literal('approval')], {
    default: 'open',
    description:
      'open: any device may register; key: only with ENROLLMENT_KEY; approval: new devices start with 0 tokens.',
  }),
  ENROLLMENT_KEY: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'What devices must send when DEVICE_ENROLLMENT is key.' }),
  ),
  EMAIL_ONLY_SIGNUP: Type.Optional(
    Type.Union([Type.Literal('on'), Type.Literal('off')], {
      description:
        'Whether there is POST /signup, which gives whoever knows an address a token for /trackUsage; on unless chat or payments are set up.',
    }),
  ),
  TRACKER_CALL_PROMPTS: Most(1_000, 'Most prompts one POST /trackUsage may count.'),
  TRACKER_CALL_TOKENS: Most(10_000_000, 'Most tokens one POST /trackUsage may count.'),
  TRACKER_DAY_PROMPTS: Most(10_000, 'Most prompts trackers may count for one account in a day (UTC).'),
  TRACKER_DAY_TOKENS: Most(100_000_000, 'Most tokens trackers may count for one account in a day.'),
  PROMPT_THRESHOLD: Type.Integer({
    default: 10,
    minimum: 0,
    maximum: 1_000_000_000,
    description: 'The threshold /trackUsage returns; extensions decide what it means.',
  }),
};

const SignIn = {
  GOOGLE_CLIENT_ID: Key(
    'OAuth client ids at Google, separated by commas, the one of redirects first; without it signing in with Google is off.',
  ),
  GOOGLE_CLIENT_SECRET: Key('The secret of the first; POST /auth/google works without.'),
  GITHUB_CLIENT_ID: Key('OAuth client id at GitHub; without it signing in with GitHub is off.'),
  GITHUB_CLIENT_SECRET: Key('Its secret.'),
  OAUTH_REDIRECT_URIS: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Where a sign-in may end, separated by commas: exact addresses, or prefixes ending in /.',
    }),
  ),
  GOOGLE_ISSUER: Address(
    'https://accounts.google.com',
    "Google's OpenID Connect issuer; like the next four https, except on this machine.",
  ),
  GOOGLE_TOKENINFO_URL: Address('https://oauth2.googleapis.com/tokeninfo', "Google's token information endpoint."),
  GOOGLE_USERINFO_URL: Address(
    'https://openidconnect.googleapis.com/v1/userinfo',
    "Google's user information endpoint.",
  ),
  GITHUB_BASE_URL: Address('https://github.com', 'GitHub, or a GitHub Enterprise Server.'),
  GITHUB_API_URL: Address('https://api.github.com', 'The API of GitHub, or of the Enterprise Server.'),
};

const Chat = {
  OPENROUTER_API_KEY: Key('Key at OpenRouter; without it the chat routes are off.'),
  OPENROUTER_MODEL: Type.String({
    default: 'openai/gpt-4',
    minLength: 1,
    maxLength: 200,
    description: 'The model of requests that name none.',
  }),
  OPENROUTER_BASE_URL: Address(
    'https://openrouter.ai/api/v1',
    'OpenRouter, or another OpenAI-compatible API; https, except on this machine.',
  ),
  OPENROUTER_TIMEOUT: Duration(
    '2m',
    'Longest silence of the upstream provider, before its answer begins and within it.',
  ),
  CHAT_MODELS: Key('Models that may be asked for, separated by commas; all without it.'),
  CHAT_EXTRAS: Type.Union([Type.Literal('off'), Type.Literal('on')], {
    default: 'off',
    description:
      'on lets requests ask for what may cost more than tokens: web search and other tools of the provider, plugins, presets, service tiers, sound, images, chosen providers.',
  }),
  CHAT_MODEL_WEIGHTS: Type.Union([Type.Literal('off'), Type.Literal('prices')], {
    default: 'off',
    description:
      'prices lets a token of an expensive model debit more than one of a cheap one, by the prices upstream lists; weights that admins set count either way.',
  }),
  CHAT_WEIGHT_PRICE: Type.String({
    default: '1',
    pattern: '^(?=.*[1-9])[0-9]{1,6}([.][0-9]{1,6})?$',
    description: 'With prices: US dollars for a million tokens of which each debits 1.',
  }),
  CHAT_MAX_COST_PER_REQUEST: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,6}([.][0-9]{1,9})?$',
      description:
        'US dollars that one chat request may cost at most, by the prices upstream lists; models without a price are refused then.',
    }),
  ),
  CHAT_BODY_LIMIT: Type.String({
    default: '20MiB',
    pattern: '^[1-9][0-9]{0,8}( ?[KM]i?B)?$',
    description: 'Largest chat request: bytes, or a number and KiB or MiB; 1 MiB at most without a bearer token.',
  }),
  CHAT_REMOTE_TOKENS: Type.Integer({
    default: 20_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Tokens held for a file that a chat request only names by its address; 5,000 at most for an image.',
  }),
};

const Payments = {
  STRIPE_SECRET_KEY: Key('Secret or restricted key at Stripe; without it nobody can subscribe.'),
  STRIPE_WEBHOOK_SECRET: Key("Signing secret of the webhook endpoint made at Stripe; needed with Stripe's key."),
  STRIPE_PRICE_PRO: Price('Id of the monthly price of pro; earlier ones, after commas, are still honoured.'),
  STRIPE_PRICE_PREMIUM: Price('The same for premium.'),
  STRIPE_API_BASE: Type.String({
    default: 'https://api.stripe.com',
    pattern: '^https?://[^/]+/?$',
    description: "Stripe's API; https, except on this machine.",
  }),
  PAYMENT_GRACE_DAYS: Type.Integer({
    default: 7,
    minimum: 0,
    maximum: 90,
    description: 'Days a tier stays in force after a payment failed.',
  }),
  PAYMENT_RETURNS: Type.Union([Type.Literal('owed'), Type.Literal('forgiven')], {
    default: 'owed',
    description:
      'Tokens of money that went back, once spent: `owed` lowers what the next paid invoices grant, `forgiven` writes them down.',
  }),
};

const Mail = {
  SMTP_URL: Type.Optional(
    Type.String({ pattern: '^smtps?://', description: 'Mail server, smtp:// or smtps://, with user and password.' }),
  ),
  SENDGRID_API_KEY: Key('Send mail through SendGrid instead of SMTP_URL.'),
  FROM_EMAIL: Type.Optional(
    Type.String({ pattern: '^[^\\s@]+@[^\\s@]+$', description: 'Sender of the mails; needed with either.' }),
  ),
};

/** Lists the variables by what they are for, in the order `.env.example` and docs/configuration.md show them. */
export const ENVIRONMENT_SECTIONS = {
  HTTP: Http,
  Processes: Workers,
  Limits: Limits,
  Database: Database,
  'Tokens and admin': Tokens,
  'Grants and enrollment': Grants,
  'Sign-in providers': SignIn,
  Chat: Chat,
  Payments: Payments,
  Mail: Mail,
} as const;

/** Every environment variable the server reads. `.env.example` and docs/configuration.md are generated from it. */
export const EnvironmentSchema = Type.Object({
  ...Http,
  ...Workers,
  ...Limits,
  ...Database,
  ...Tokens,
  ...Grants,
  ...SignIn,
  ...Chat,
  ...Payments,
  ...Mail,
});
export type Environment = Static<typeof EnvironmentSchema>;
