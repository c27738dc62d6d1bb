import type { Variables } from './aliases.js';
import { parseBytes } from './bytes.js';
import { findDatabaseProblems, findPaymentProblems, findServerProblems } from './contradictions.js';
import { parseDuration } from './duration.js';
import { parseEnvironment } from './environment.js';
import type { Environment } from './environment-schema.js';
import { toHostConfig } from './host.js';
import { parseList } from './list.js';
import { toMailConfig } from './mail.js';
import { createRedirectCheck } from './redirect-uris.js';
import { parseWorkers } from './workers.js';

/** The key database tokens are signed with: a shared secret, or a private ES256 key as JSON (JWK). */
export type TokenKey = { readonly secret: string } | { readonly jwk: string };

/** Where the database is: one of the three set-ups. */
export type DatabaseConfig =
  | { readonly kind: 'embedded'; readonly dataDir: string; readonly poolSize: number }
  | { readonly kind: 'direct'; readonly connectionString: string; readonly poolSize: number }
  | {
      readonly kind: 'supabase';
      readonly url: string;
      readonly secretKey: string;
      /** The key for requests in a user's own name. */
      readonly publishableKey?: string | undefined;
      /** Without a signing key, users' own reads are off. */
      readonly signingKey?: TokenKey | undefined;
    };

/** An OAuth client registered with a provider. */
interface OAuthClient {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Payments at Stripe, and what is sold there. */
export interface StripeConfig {
  readonly secretKey: string;
  readonly webhookSecret: string;
  readonly apiBase: string;
  /** Price ids of each paid tier, the one for sale first; earlier ones are still honoured. */
  readonly prices: { readonly pro: readonly string[]; readonly premium: readonly string[] };
  /** Days a tier stays in force after a payment failed. */
  readonly graceDays: number;
  /** Whether tokens of money that went back are written down once they are spent, instead of owed. */
  readonly forgivesReturns: boolean;
  /** Where Stripe's pages about a subscription send people back to. */
  readonly returnUrl: string;
  /** Where its payment page sends them once they have paid; Stripe puts the id of the payment page in. */
  readonly successUrl: string;
  /** Where it sends them when they go back without paying. */
  readonly cancelUrl: string;
}

/** How passwords are hashed and judged. */
interface PasswordConfig {
  /** Secrets mixed into hashes: the first into new ones, each into those made with it. */
  readonly peppers: readonly string[];
  /** Path of a sorted list of the SHA-1 digests of leaked passwords. */
  readonly breachedFile?: string;
}

/** Returns the signing key of database tokens; the JWK wins where both are set. */
function toSigningKey({ SUPABASE_JWT_SECRET, SUPABASE_JWT_SIGNING_KEY }: Environment): TokenKey | undefined {
  if (SUPABASE_JWT_SIGNING_KEY !== undefined) return { jwk: SUPABASE_JWT_SIGNING_KEY };
  return SUPABASE_JWT_SECRET === undefined ? undefined : { secret: SUPABASE_JWT_SECRET };
}

function toDatabaseConfig(environment: Environment): DatabaseConfig {
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL, DATA_DIR } = environment;
  const poolSize = environment.DATABASE_POOL_SIZE;
  if (DATABASE_URL !== undefined) return { kind: 'direct', connectionString: DATABASE_URL, poolSize };
  if (SUPABASE_URL !== undefined) {
    const signingKey = toSigningKey(environment);
    return {
      kind: 'supabase',
      url: SUPABASE_URL,
      secretKey: SUPABASE_SECRET_KEY ?? '',
      ...(SUPABASE_PUBLISHABLE_KEY !== undefined && { publishableKey: SUPABASE_PUBLISHABLE_KEY }),
      ...(signingKey !== undefined && { signingKey }),
    };
  }
  return { kind: 'embedded', dataDir: DATA_DIR, poolSize };
}

function toOAuthClient(clientId: string | undefined, clientSecret: string | undefined): OAuthClient | undefined {
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

/** Returns where clients reach the server, without a slash at the end; this machine's own address where none is set. */
function toPublicUrl({ PUBLIC_URL, PORT }: Environment): string {
  return (PUBLIC_URL ?? `http://127.0.0.1:${PORT}`).replace(/\/+$/, '');
}

/** Returns the limits a minute; undefined where nothing is limited. */
function toLimitsConfig(environment: Environment) {
  if (environment.RATE_LIMIT === 'off') return undefined;
  return {
    redisUrl: environment.REDIS_URL,
    requests: {
      address: [environment.RATE_LIMIT_ADDRESS],
      registration: [environment.RATE_LIMIT_REGISTRATION],
      account: [environment.RATE_LIMIT_ACCOUNT],
      device: [environment.RATE_LIMIT_DEVICE],
      user: parseList(environment.RATE_LIMIT_USER).map(Number),
      'api-key': [environment.RATE_LIMIT_API_KEY],
      admin: [environment.RATE_LIMIT_ADMIN],
      tracker: [environment.RATE_LIMIT_TRACKER],
    },
    tokens: {
      device: [environment.RATE_LIMIT_DEVICE_TOKENS],
      user: parseList(environment.RATE_LIMIT_USER_TOKENS).map(Number),
    },
  };
}

function toSignInConfig(environment: Environment) {
  const googleClientIds = parseList(environment.GOOGLE_CLIENT_ID).filter((id) => id !== '');
  const google = toOAuthClient(googleClientIds[0], environment.GOOGLE_CLIENT_SECRET);
  const github = toOAuthClient(environment.GITHUB_CLIENT_ID, environment.GITHUB_CLIENT_SECRET);
  const googleAccessTokens = googleClientIds.length > 0 && {
    /** The clients whose tokens are accepted: browsers and development builds have one each. */
    clientIds: googleClientIds,
    tokenInfoUrl: environment.GOOGLE_TOKENINFO_URL,
    userInfoUrl: environment.GOOGLE_USERINFO_URL,
  };
  return {
    /** Returns whether a sign-in may end at an address. */
    isAllowedRedirect: createRedirectCheck(environment.OAUTH_REDIRECT_URIS),
    google: google && { ...google, issuer: environment.GOOGLE_ISSUER },
    /** Access tokens that a client got from Google itself; they need no secret. */
    googleAccessTokens: googleAccessTokens || undefined,
    github: github && { ...github, baseUrl: environment.GITHUB_BASE_URL, apiUrl: environment.GITHUB_API_URL },
  };
}

/** Converts US dollars, as the environment schema allows them, to nano-dollars (10⁻⁹). */
const toNanos = (dollars: string | undefined) =>
  dollars === undefined ? undefined : Math.round(Number(dollars) * 1e9);

function toChatConfig(environment: Environment) {
  if (environment.OPENROUTER_API_KEY === undefined) return undefined;
  const models = parseList(environment.CHAT_MODELS).filter((name) => name !== '');
  return {
    apiKey: environment.OPENROUTER_API_KEY,
    baseUrl: environment.OPENROUTER_BASE_URL.replace(/\/+$/, ''),
    defaultModel: environment.OPENROUTER_MODEL,
    /** Longest silence of the upstream, in milliseconds. */
    idleTimeoutMs: parseDuration(environment.OPENROUTER_TIMEOUT) * 1_000,
    /** The models that may be asked for; all of the upstream's where it is undefined. */
    models: environment.CHAT_MODELS === undefined ? undefined : models,
    /** Whether requests may ask for what may cost more than tokens. */
    hasExtras: environment.CHAT_EXTRAS === 'on',
    /** US dollars for a million tokens that weigh 1; undefined where upstream's prices decide nothing. */
    weightPrice: environment.CHAT_MODEL_WEIGHTS === 'prices' ? Number(environment.CHAT_WEIGHT_PRICE) : undefined,
    /** What one request may cost, in nano-dollars; undefined where that is not limited. */
    maxNanoUsd: toNanos(environment.CHAT_MAX_COST_PER_REQUEST),
    /** Largest request, in bytes. */
    bodyLimitBytes: parseBytes(environment.CHAT_BODY_LIMIT),
    /** Tokens held for a file that a request only names by its address. */
    remoteTokens: environment.CHAT_REMOTE_TOKENS,
  };
}

function toStripeConfig(environment: Environment): StripeConfig | undefined {
  const { STRIPE_SECRET_KEY: secretKey, STRIPE_WEBHOOK_SECRET: webhookSecret } = environment;
  if (secretKey === undefined || webhookSecret === undefined) return undefined;
  return {
    secretKey,
    webhookSecret,
    apiBase: environment.STRIPE_API_BASE,
    prices: {
      pro: parseList(environment.STRIPE_PRICE_PRO),
      premium: parseList(environment.STRIPE_PRICE_PREMIUM),
    },
    graceDays: environment.PAYMENT_GRACE_DAYS,
    forgivesReturns: environment.PAYMENT_RETURNS === 'forgiven',
    returnUrl: `${toPublicUrl(environment)}/dashboard`,
    // In the fragment, as what is there reaches no log.
    successUrl: `${toPublicUrl(environment)}/checkout-success#{CHECKOUT_SESSION_ID}`,
    cancelUrl: `${toPublicUrl(environment)}/checkout-cancelled`,
  };
}

/** Returns how accounts come about; where tokens cost the operator money, an address has to be proved for them. */
function toSignUpConfig({ SIGNUP, DEFAULT_USER_TOKENS, OPENROUTER_API_KEY, STRIPE_SECRET_KEY }: Environment) {
  const costsMoney = OPENROUTER_API_KEY !== undefined || STRIPE_SECRET_KEY !== undefined;
  return {
    mode: SIGNUP ?? (costsMoney ? 'verified' : 'open'),
    /** Tokens an account starts with, paid once per proved identity. */
    defaultTokens: DEFAULT_USER_TOKENS,
  } as const;
}

function toTrackerConfig(environment: Environment) {
  const { EMAIL_ONLY_SIGNUP, OPENROUTER_API_KEY, STRIPE_SECRET_KEY } = environment;
  const isHarmless = OPENROUTER_API_KEY === undefined && STRIPE_SECRET_KEY === undefined;
  return {
    /** Counts nobody proved are no harm where nothing that is worth money stands beside them. */
    hasEmailOnlySignup: EMAIL_ONLY_SIGNUP === undefined ? isHarmless : EMAIL_ONLY_SIGNUP === 'on',
    promptThreshold: environment.PROMPT_THRESHOLD,
    bounds: {
      call: { prompts: environment.TRACKER_CALL_PROMPTS, tokens: environment.TRACKER_CALL_TOKENS },
      day: { prompts: environment.TRACKER_DAY_PROMPTS, tokens: environment.TRACKER_DAY_TOKENS },
    },
  };
}

function toPasswordConfig({ PASSWORD_PEPPER, BREACHED_PASSWORDS_FILE }: Environment): PasswordConfig {
  const peppers = PASSWORD_PEPPER === undefined ? [] : parseList(PASSWORD_PEPPER);
  return { peppers, ...(BREACHED_PASSWORDS_FILE !== undefined && { breachedFile: BREACHED_PASSWORDS_FILE }) };
}

function toConfig(environment: Environment, variables: Variables) {
  const { ADMIN_PASSWORD, JWT_SECRET } = environment;
  return {
    http: {
      ...toHostConfig(environment.HOST, variables),
      /** 0 picks a free one. */
      port: environment.PORT,
      publicUrl: toPublicUrl(environment),
      isPublicUrlSet: environment.PUBLIC_URL !== undefined,
      trustProxy: environment.TRUST_PROXY,
      corsOrigins: environment.CORS_ORIGINS,
      logLevel: environment.LOG_LEVEL,
    },
    /** Processes that answer requests; more than one have a supervisor. */
    workers: parseWorkers(environment.WORKERS),
    limits: toLimitsConfig(environment),
    database: toDatabaseConfig(environment),
    tokens: {
      /** Signs client tokens; the embedded database brings one of its own. */
      ...(JWT_SECRET !== undefined && { secret: JWT_SECRET }),
      accessSeconds: parseDuration(environment.JWT_EXPIRES_IN),
      sessionSeconds: parseDuration(environment.JWT_REFRESH_EXPIRES_IN),
    },
    admin: {
      username: environment.ADMIN_USERNAME,
      secondFactor: environment.ADMIN_2FA,
      ...(ADMIN_PASSWORD !== undefined && { password: ADMIN_PASSWORD }),
    },
    passwords: toPasswordConfig(environment),
    devices: {
      enrollment: environment.DEVICE_ENROLLMENT,
      enrollmentKey: environment.ENROLLMENT_KEY,
      /** Tokens a new device starts with; none before an admin approved it. */
      defaultTokens: environment.DEVICE_ENROLLMENT === 'approval' ? 0 : environment.DEFAULT_DEVICE_TOKENS,
    },
    signUp: toSignUpConfig(environment),
    tracker: toTrackerConfig(environment),
    usage: { retentionMonths: environment.RETENTION_MONTHS },
    monthlyReset:
      environment.MONTHLY_RESET === 'auto' ? { deviceTokens: environment.DEFAULT_DEVICE_TOKENS } : undefined,
    signIn: toSignInConfig(environment),
    chat: toChatConfig(environment),
    stripe: toStripeConfig(environment),
    mail: toMailConfig(environment),
  };
}

/** The server's settings in sections, parsed once and frozen; the section of a feature that is off is undefined. */
export type Config = DeepReadonly<ReturnType<typeof toConfig>>;
type DeepReadonly<T> = T extends (...parameters: never[]) => unknown
  ? T
  : { readonly [K in keyof T]: T[K] extends object ? DeepReadonly<T[K]> : T[K] };

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member);
  return Object.freeze(value);
}

/**
 * Parses the settings from environment variables; an empty variable counts as absent.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function parseConfig(variables: Variables): Config {
  return freeze(toConfig(parseEnvironment(variables, findServerProblems), variables));
}

/**
 * Parses only where the database is, for commands that need nothing else of a server's settings.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function parseDatabaseConfig(variables: Variables): DatabaseConfig {
  return toDatabaseConfig(parseEnvironment(variables, findDatabaseProblems));
}

/**
 * Parses how passwords are hashed, for commands that need nothing else of a server's settings.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function parsePasswordConfig(variables: Variables): PasswordConfig {
  return toPasswordConfig(parseEnvironment(variables, () => []));
}

/**
 * Parses what commands need that call Stripe; undefined without its keys.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function parseStripeConfig(variables: Variables): StripeConfig | undefined {
  return toStripeConfig(
    parseEnvironment(variables, (given) => [...findDatabaseProblems(given), ...findPaymentProblems(given)]),
  );
}
