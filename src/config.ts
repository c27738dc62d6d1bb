import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { namesProxies } from './http/trusted-proxies.js';
import { StartupError } from './startup-error.js';

const Secret = (description: string) => Type.Optional(Type.String({ minLength: 32, description }));

/**
 * Every environment variable the server reads. `.env.example` and the README's table follow these descriptions.
 */
export const EnvironmentSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'Address to listen on; 0.0.0.0 for every interface.' }),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'Port to listen on; 0 picks a free one.',
  }),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'trace, debug, info, warn, error, fatal or silent.' },
  ),
  PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'Address clients reach the server at, shown in the documentation.',
    }),
  ),
  TRUST_PROXY: Type.String({
    default: 'loopback',
    description: 'Proxies whose X-Forwarded-For is believed: addresses, ranges or loopback; false for none.',
  }),
  CORS_ORIGINS: Type.String({
    default: '*',
    description: 'Origins browsers may call from, separated by commas; * for all.',
  }),
  DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'Where the embedded Postgres keeps its data.',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'Use this Postgres instead of the embedded one.' }),
  ),
  SUPABASE_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: "Use this Supabase project's Data API." }),
  ),
  SUPABASE_SECRET_KEY: Type.Optional(
    Type.String({ minLength: 1, description: "The project's secret (or service_role) key; needed with SUPABASE_URL." }),
  ),
  JWT_SECRET: Secret('Signs client tokens, 32 characters at least; generated and kept in DATA_DIR when embedded.'),
  ADMIN_USERNAME: Type.String({
    default: 'admin',
    minLength: 1,
    maxLength: 100,
    description: 'Name of the first admin.',
  }),
  ADMIN_PASSWORD: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'Password of the first admin; generated when embedded.' }),
  ),
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
    description: 'Tokens a new account starts with.',
  }),
  MONTHLY_RESET: Type.Union([Type.Literal('off'), Type.Literal('auto')], {
    default: 'off',
    description: 'auto: at the start of each month (UTC) every device gets DEFAULT_DEVICE_TOKENS anew.',
  }),
  RETENTION_MONTHS: Type.Integer({
    default: 24,
    minimum: 1,
    maximum: 1200,
    description: 'Full months usage events are kept besides the current one; summaries stay.',
  }),
  DEVICE_ENROLLMENT: Type.Union([Type.Literal('open'), Type.Literal('key'), Type.Literal('approval')], {
    default: 'open',
    description:
      'open: any device may register; key: only with ENROLLMENT_KEY; approval: new devices start with 0 tokens.',
  }),
  ENROLLMENT_KEY: Type.Optional(
    Type.String({ minLength: 8, maxLength: 256, description: 'What devices must send when DEVICE_ENROLLMENT is key.' }),
  ),
  RATE_LIMIT: Type.Union([Type.Literal('on'), Type.Literal('off')], {
    default: 'on',
    description: 'on, or off for load tests.',
  }),
});
export type Environment = Static<typeof EnvironmentSchema>;

/** Where the database is: one of the three set-ups. */
export type DatabaseConfig =
  | { readonly kind: 'embedded'; readonly dataDir: string }
  | { readonly kind: 'direct'; readonly connectionString: string }
  | { readonly kind: 'supabase'; readonly url: string; readonly secretKey: string };

/** The server's settings, read once and frozen. */
export interface Config extends Readonly<Environment> {
  readonly database: DatabaseConfig;
}

function describe(name: string): string {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  const description = Value.Check(Type.Object({ description: Type.String() }), property) ? property.description : '';
  return `${name} is not valid (${description})`;
}

function databaseOf(environment: Environment): DatabaseConfig {
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, DATABASE_URL, DATA_DIR } = environment;
  if (DATABASE_URL !== undefined) return { kind: 'direct', connectionString: DATABASE_URL };
  if (SUPABASE_URL !== undefined) return { kind: 'supabase', url: SUPABASE_URL, secretKey: SUPABASE_SECRET_KEY ?? '' };
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
