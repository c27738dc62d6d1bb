import type { Variables } from './aliases.js';
import { resolveAliases } from './aliases.js';
import { ENVIRONMENT_SECTIONS, type Environment } from './environment-schema.js';

/** Something the server does only where it is set up for it. */
export interface Capability {
  readonly name: string;
  readonly on: boolean;
  /** The variables without which it is off. */
  readonly missing: readonly string[];
}

/** A variable and what holds, as far as that is no secret. */
export interface Setting {
  readonly name: string;
  readonly description: string;
  readonly set: boolean;
  readonly value: string | null;
  readonly hidden: boolean;
}

/** What the server is set up to do, without secrets. */
export interface ConfigurationOverview {
  readonly capabilities: readonly Capability[];
  readonly sections: readonly { readonly name: string; readonly settings: readonly Setting[] }[];
}

/** Variables without a default whose values are no secrets; no secret has a default. */
const PUBLIC: ReadonlySet<string> = new Set([
  'HOST',
  'PUBLIC_URL',
  'SIGNUP',
  'EMAIL_ONLY_SIGNUP',
  'CHAT_MODELS',
  'CHAT_MAX_COST_PER_REQUEST',
  'GOOGLE_CLIENT_ID',
  'GITHUB_CLIENT_ID',
  'OAUTH_REDIRECT_URIS',
  'STRIPE_PRICE_PRO',
  'STRIPE_PRICE_PREMIUM',
  'FROM_EMAIL',
  'SUPABASE_URL',
]);

/** Takes user and password out of an address. */
const withoutCredentials = (text: string): string => text.replaceAll(/(\w:\/\/)[^/\s@]*@/g, '$1');

function describeSetting(name: string, schema: object, environment: Environment, given: Variables): Setting {
  const value: unknown = Reflect.get(environment, name);
  const description: unknown = Reflect.get(schema, 'description');
  const isShown = 'default' in schema || PUBLIC.has(name);
  return {
    name,
    description: String(description ?? ''),
    set: Boolean(given[name]),
    value: isShown && value !== undefined ? withoutCredentials(String(value)) : null,
    hidden: !isShown && value !== undefined,
  };
}

/** Names what each capability needs; one that has several ways to be set up lists the variables of each. */
const NEEDS = {
  chat: [['OPENROUTER_API_KEY']],
  payments: [['STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET']],
  mail: [
    ['FROM_EMAIL', 'SMTP_URL'],
    ['FROM_EMAIL', 'SENDGRID_API_KEY'],
  ],
  google_sign_in: [['GOOGLE_CLIENT_ID', 'GOOGLE_CLIENT_SECRET']],
  google_access_tokens: [['GOOGLE_CLIENT_ID']],
  github_sign_in: [['GITHUB_CLIENT_ID', 'GITHUB_CLIENT_SECRET']],
  shared_limits: [['REDIS_URL']],
  remote_metrics: [['METRICS_TOKEN']],
  error_reports: [['SENTRY_DSN']],
  read_replica: [['DATABASE_READ_URL']],
  leaked_password_check: [['BREACHED_PASSWORDS_FILE']],
} as const satisfies Record<string, readonly (readonly (keyof Environment)[])[]>;

function describeCapability(name: string, ways: readonly (readonly string[])[], environment: Environment): Capability {
  const missing = ways.map((way) => way.filter((variable) => Reflect.get(environment, variable) === undefined));
  const least = missing.toSorted((a, b) => a.length - b.length)[0] ?? [];
  return { name, on: least.length === 0, missing: least };
}

/** Describes what holds and why what is off is off; never a secret. */
export function describeConfiguration(environment: Environment, variables: Variables): ConfigurationOverview {
  const given = resolveAliases(variables);
  const choice = (name: string, variable: keyof Environment, on: unknown): Capability => {
    const isOn = environment[variable] === on;
    return { name, on: isOn, missing: isOn ? [] : [`${variable}=${String(on)}`] };
  };
  return {
    capabilities: [
      ...Object.entries(NEEDS).map(([name, ways]) => describeCapability(name, ways, environment)),
      choice('monthly_reset', 'MONTHLY_RESET', 'auto'),
      choice('required_second_factor', 'ADMIN_2FA', 'required'),
      choice('rate_limits', 'RATE_LIMIT', 'on'),
      choice('weights_from_prices', 'CHAT_MODEL_WEIGHTS', 'prices'),
    ],
    sections: Object.entries(ENVIRONMENT_SECTIONS).map(([name, section]) => ({
      name,
      settings: Object.entries(section).map(([variable, schema]) =>
        describeSetting(variable, schema, environment, given),
      ),
    })),
  };
}
