import type { Variables } from './aliases.js';
import { toChatConfig } from './chat.js';
import { findDatabaseProblems, findPaymentProblems, findServerProblems } from './contradictions.js';
import { type DatabaseConfig, toDatabaseConfig } from './database.js';
import { parseDuration } from './duration.js';
import { parseEnvironment } from './environment.js';
import type { Environment } from './environment-schema.js';
import { toHostConfig } from './host.js';
import { toLimitsConfig } from './limits.js';
import { parseList } from './list.js';
import { toMailConfig } from './mail.js';
import { describeConfiguration } from './overview.js';
import { type StripeConfig, toStripeConfig } from './payments.js';
import { toReadReplicaConfig } from './read-replica.js';
import { toSignInConfig } from './sign-in.js';
import { toWatchingConfig } from './watching.js';
import { parseWorkers } from './workers.js';

/** How passwords are hashed and judged. */
interface PasswordConfig {
  /** Secrets mixed into hashes: the first into new ones, each into those made with it. */
  readonly peppers: readonly string[];
  /** Path of a sorted list of the SHA-1 digests of leaked passwords. */
  readonly breachedFile?: string;
}

/** Returns where clients reach the server, without a slash at the end; this machine's own address where none is set. */
function toPublicUrl({ PUBLIC_URL, PORT }: Environment): string {
  return (PUBLIC_URL ?? `http://127.0.0.1:${PORT}`).replace(/\/+$/, '');
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
      /** In milliseconds; 0 where it does not matter. */
      maxEventLoopDelay: environment.MAX_EVENT_LOOP_DELAY,
    },
    /** Processes that answer requests; more than one have a supervisor. */
    workers: parseWorkers(environment.WORKERS),
    limits: toLimitsConfig(environment),
    database: toDatabaseConfig(environment),
    /** A standby that may be read instead. */
    readReplica: toReadReplicaConfig(environment),
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
    usage: { retentionMonths: environment.RETENTION_MONTHS, archiveMonths: environment.ARCHIVE_MONTHS },
    monthlyReset:
      environment.MONTHLY_RESET === 'auto' ? { deviceTokens: environment.DEFAULT_DEVICE_TOKENS } : undefined,
    signIn: toSignInConfig(environment),
    chat: toChatConfig(environment),
    stripe: toStripeConfig(environment, toPublicUrl(environment)),
    mail: toMailConfig(environment),
    ...toWatchingConfig(environment),
    /** What of all this an admin may read. */
    overview: describeConfiguration(environment, variables),
    /** Where unforeseen errors are reported. */
    sentryDsn: environment.SENTRY_DSN,
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
  const environment = parseEnvironment(variables, (given) => [
    ...findDatabaseProblems(given),
    ...findPaymentProblems(given),
  ]);
  return toStripeConfig(environment, toPublicUrl(environment));
}
