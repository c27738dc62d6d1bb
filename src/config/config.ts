import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { namesRedirects } from '../auth/oauth/redirects.js';
import { pricesOf } from '../features/subscriptions/prices.js';
import { namesProxies } from '../platform/http/trusted-proxies.js';
import { StartupError } from '../platform/startup-error.js';
import { type Environment, EnvironmentSchema } from './environment-schema.js';

/** Where the database is: one of the three set-ups. */
export type DatabaseConfig =
  | { readonly kind: 'embedded'; readonly dataDir: string }
  | { readonly kind: 'direct'; readonly connectionString: string }
  | {
      readonly kind: 'supabase';
      readonly url: string;
      readonly secretKey: string;
      /** What users' own reads are made with; without a key to sign them they are off. */
      readonly publishableKey?: string | undefined;
      readonly signingKey?: TokenKey | undefined;
    };

/** The key database tokens are signed with: a shared secret, or a private ES256 key as JSON (JWK). */
export type TokenKey = { readonly secret: string } | { readonly jwk: string };

/** The server's settings, read once and frozen. */
export interface Config extends Readonly<Environment> {
  readonly database: DatabaseConfig;
}

function describe(name: string): string {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  const description = Value.Check(Type.Object({ description: Type.String() }), property) ? property.description : '';
  return `${name} is not valid (${description})`;
}

function signingKeyOf({ SUPABASE_JWT_SECRET, SUPABASE_JWT_SIGNING_KEY }: Environment): TokenKey | undefined {
  if (SUPABASE_JWT_SIGNING_KEY !== undefined) return { jwk: SUPABASE_JWT_SIGNING_KEY };
  return SUPABASE_JWT_SECRET === undefined ? undefined : { secret: SUPABASE_JWT_SECRET };
}

function databaseOf(environment: Environment): DatabaseConfig {
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL, DATA_DIR } = environment;
  if (DATABASE_URL !== undefined) return { kind: 'direct', connectionString: DATABASE_URL };
  if (SUPABASE_URL !== undefined) {
    return {
      kind: 'supabase',
      url: SUPABASE_URL,
      secretKey: SUPABASE_SECRET_KEY ?? '',
      ...(SUPABASE_PUBLISHABLE_KEY !== undefined && { publishableKey: SUPABASE_PUBLISHABLE_KEY }),
      ...(signingKeyOf(environment) !== undefined && { signingKey: signingKeyOf(environment) }),
    };
  }
  return { kind: 'embedded', dataDir: DATA_DIR };
}

/** What variables about the database say only together; those that are not valid count as given. */
function databaseProblems(environment: Partial<Environment>): string[] {
  const problems: string[] = [];
  if (environment.SUPABASE_URL !== undefined && environment.DATABASE_URL !== undefined) {
    problems.push('SUPABASE_URL and DATABASE_URL are both set, use one');
  }
  if (environment.SUPABASE_URL !== undefined && environment.SUPABASE_SECRET_KEY === undefined) {
    problems.push('SUPABASE_SECRET_KEY is missing (needed with SUPABASE_URL)');
  }
  return problems;
}

const missing = (name: keyof Environment, needs: string) => `${name} is missing (needed with ${needs})`;

/** Mails carry links, and a sender. */
function mailProblems({ SMTP_URL, SENDGRID_API_KEY, FROM_EMAIL, PUBLIC_URL }: Partial<Environment>): string[] {
  if (SMTP_URL === undefined && SENDGRID_API_KEY === undefined) return [];
  const problems: string[] = [];
  if (SMTP_URL !== undefined && SENDGRID_API_KEY !== undefined) {
    problems.push('SMTP_URL and SENDGRID_API_KEY are both set, use one');
  }
  if (SMTP_URL !== undefined && !URL.canParse(SMTP_URL)) problems.push(describe('SMTP_URL'));
  if (FROM_EMAIL === undefined) problems.push(missing('FROM_EMAIL', 'SMTP_URL or SENDGRID_API_KEY'));
  if (PUBLIC_URL === undefined) problems.push(missing('PUBLIC_URL', 'SMTP_URL or SENDGRID_API_KEY'));
  return problems;
}

/** Payments are taken only where they can be told of, and each price is for one tier. */
function paymentProblems(environment: Partial<Environment>): string[] {
  const { STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_API_BASE } = environment;
  const problems: string[] = [];
  if (STRIPE_SECRET_KEY !== undefined && STRIPE_WEBHOOK_SECRET === undefined) {
    problems.push(missing('STRIPE_WEBHOOK_SECRET', 'STRIPE_SECRET_KEY'));
  }
  if (!isSafeAddress(STRIPE_API_BASE)) problems.push(describe('STRIPE_API_BASE'));
  const premium = pricesOf(environment.STRIPE_PRICE_PREMIUM);
  if (pricesOf(environment.STRIPE_PRICE_PRO).some((price) => premium.includes(price))) {
    problems.push('STRIPE_PRICE_PRO and STRIPE_PRICE_PREMIUM name the same price');
  }
  return problems;
}

const PROVIDER_ADDRESSES = [
  'GOOGLE_ISSUER',
  'GOOGLE_TOKENINFO_URL',
  'GOOGLE_USERINFO_URL',
  'GITHUB_BASE_URL',
  'GITHUB_API_URL',
  'OPENROUTER_BASE_URL',
] as const;

/** Providers are given secrets: only over https, except on this machine. */
function providerProblems(environment: Partial<Environment>): string[] {
  const problems = PROVIDER_ADDRESSES.filter((name) => !isSafeAddress(environment[name])).map(describe);
  if (environment.GITHUB_CLIENT_ID !== undefined && environment.GITHUB_CLIENT_SECRET === undefined) {
    problems.push(missing('GITHUB_CLIENT_SECRET', 'GITHUB_CLIENT_ID'));
  }
  if (environment.OAUTH_REDIRECT_URIS !== undefined && !namesRedirects(environment.OAUTH_REDIRECT_URIS)) {
    problems.push(describe('OAUTH_REDIRECT_URIS'));
  }
  return problems;
}

function isSafeAddress(address: string | undefined): boolean {
  if (address === undefined || !URL.canParse(address)) return true;
  const { protocol, hostname } = new URL(address);
  return protocol !== 'http:' || ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
}

/** What variables a server needs say only together, or only in detail. */
function serverProblems(environment: Partial<Environment>): string[] {
  const problems: string[] = [];
  const external = environment.DATABASE_URL !== undefined || environment.SUPABASE_URL !== undefined;
  if (external && environment.JWT_SECRET === undefined) {
    problems.push('JWT_SECRET is missing (32 characters at least; only the embedded database comes with its own)');
  }
  if (environment.TRUST_PROXY !== undefined && !namesProxies(environment.TRUST_PROXY)) {
    problems.push(describe('TRUST_PROXY'));
  }
  problems.push(...mailProblems(environment), ...providerProblems(environment), ...paymentProblems(environment));
  if (environment.DEVICE_ENROLLMENT === 'key' && environment.ENROLLMENT_KEY === undefined) {
    problems.push('ENROLLMENT_KEY is missing (needed with DEVICE_ENROLLMENT=key)');
  }
  return problems;
}

/** Whether a variable that must be a number is one, written as plain decimals: 1e3 or 80.9 is a mistake, not a port. */
function isWholeNumber([name, text]: [string, string | undefined]): boolean {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  return Value.Check(Type.Object({ type: Type.Literal('integer') }), property) && /^-?[0-9]{1,16}$/.test(text ?? '');
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Reads and checks the environment; `contradictions` lists what given variables say only together. */
function readEnvironment(
  variables: Variables,
  contradictions: (given: Partial<Environment>) => readonly string[],
): Environment {
  const known = Object.keys(EnvironmentSchema.properties);
  const given = Object.fromEntries(known.flatMap((name) => (variables[name] ? [[name, variables[name]]] : [])));
  const numbers = Object.fromEntries(
    Object.entries(given)
      .filter(isWholeNumber)
      .map(([name, text]) => [name, Number(text)]),
  );
  const converted = Value.Default(EnvironmentSchema, { ...given, ...numbers });
  const invalid = [...Value.Errors(EnvironmentSchema, converted)].map(({ path }) => path.slice(1));
  const problems = [...[...new Set(invalid)].map(describe), ...contradictions(given)];
  if (problems.length > 0 || !Value.Check(EnvironmentSchema, converted)) {
    throw new StartupError(`Bad configuration: ${problems.join('; ')}`);
  }
  return converted;
}

/**
 * Reads the settings from environment variables; an empty variable counts as absent.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function readConfig(variables: Variables): Config {
  const environment = readEnvironment(variables, (given) => [...databaseProblems(given), ...serverProblems(given)]);
  return Object.freeze({ ...environment, database: databaseOf(environment) });
}

/**
 * Reads only where the database is, for commands that need nothing else of a server's settings.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function readDatabaseConfig(variables: Variables): DatabaseConfig {
  return databaseOf(readEnvironment(variables, databaseProblems));
}

/**
 * Reads what commands need that ask Stripe.
 * @throws {StartupError} naming every bad variable at once, never a value
 */
export function readPaymentConfig(variables: Variables): Readonly<Environment> {
  return readEnvironment(variables, (given) => [...databaseProblems(given), ...paymentProblems(given)]);
}

/** Where people and providers reach the server, without a slash at the end; this machine's own address where none is set. */
export function publicUrlOf({ PUBLIC_URL, PORT }: Pick<Environment, 'PUBLIC_URL' | 'PORT'>): string {
  return (PUBLIC_URL ?? `http://127.0.0.1:${PORT}`).replace(/\/+$/, '');
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Seconds of a duration as the configuration spells it: `15m`, `7d`. */
export function secondsOf(duration: string): number {
  const [, amount = '', unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  const known = Object.entries(SECONDS).find(([letter]) => letter === unit);
  return Number(amount) * (known?.[1] ?? Number.NaN);
}
