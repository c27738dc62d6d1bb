import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isCorsOriginList } from './cors-origins.js';
import { type Environment, EnvironmentSchema } from './environment-schema.js';
import { parseList } from './list.js';
import { isRedirectList } from './redirect-uris.js';
import { isSecretList } from './secret-list.js';
import { namesProxies } from './trusted-proxies.js';

/** Variables that were given, valid or not. */
type Given = Partial<Environment>;

/** Returns the sentence that refuses a variable: its name and what it is for, never its value. */
export function describeInvalid(name: string): string {
  const property: unknown = Reflect.get(EnvironmentSchema.properties, name);
  const description = Value.Check(Type.Object({ description: Type.String() }), property) ? property.description : '';
  return `${name} is not valid (${description})`;
}

const describeMissing = (name: keyof Environment, needs: string) => `${name} is missing (needed with ${needs})`;

/** Returns what the variables about the database contradict each other in. */
export function findDatabaseProblems(given: Given): string[] {
  const problems: string[] = [];
  if (given.SUPABASE_URL !== undefined && given.DATABASE_URL !== undefined) {
    problems.push('SUPABASE_URL and DATABASE_URL are both set, use one');
  }
  if (given.SUPABASE_URL !== undefined && given.SUPABASE_SECRET_KEY === undefined) {
    problems.push(describeMissing('SUPABASE_SECRET_KEY', 'SUPABASE_URL'));
  }
  if (given.DATABASE_READ_URL !== undefined && given.DATABASE_URL === undefined && given.SUPABASE_URL === undefined) {
    problems.push('DATABASE_READ_URL needs DATABASE_URL or SUPABASE_URL: the embedded Postgres has no standby');
  }
  if (given.DATABASE_READ_URL !== undefined && given.DATABASE_READ_URL === given.DATABASE_URL) {
    problems.push('DATABASE_READ_URL and DATABASE_URL are the same: name a standby, or leave it out');
  }
  return problems;
}

/** Returns what is missing for mails, which carry links and a sender. */
function findMailProblems({ SMTP_URL, SENDGRID_API_KEY, SENDGRID_API_BASE, FROM_EMAIL, PUBLIC_URL }: Given): string[] {
  // It is sent the key, and mails with links.
  const problems = isSafeAddress(SENDGRID_API_BASE) ? [] : [describeInvalid('SENDGRID_API_BASE')];
  if (SMTP_URL === undefined && SENDGRID_API_KEY === undefined) return problems;
  if (SMTP_URL !== undefined && SENDGRID_API_KEY !== undefined) {
    problems.push('SMTP_URL and SENDGRID_API_KEY are both set, use one');
  }
  if (FROM_EMAIL === undefined) problems.push(describeMissing('FROM_EMAIL', 'SMTP_URL or SENDGRID_API_KEY'));
  if (PUBLIC_URL === undefined) problems.push(describeMissing('PUBLIC_URL', 'SMTP_URL or SENDGRID_API_KEY'));
  return problems;
}

/** Returns what is wrong with the variables about payments: events must be verifiable, and each price is for one tier. */
export function findPaymentProblems(given: Given): string[] {
  const problems: string[] = [];
  if (given.STRIPE_SECRET_KEY !== undefined && given.STRIPE_WEBHOOK_SECRET === undefined) {
    problems.push(describeMissing('STRIPE_WEBHOOK_SECRET', 'STRIPE_SECRET_KEY'));
  }
  if (!isSafeAddress(given.STRIPE_API_BASE)) problems.push(describeInvalid('STRIPE_API_BASE'));
  const premium = parseList(given.STRIPE_PRICE_PREMIUM);
  if (parseList(given.STRIPE_PRICE_PRO).some((price) => premium.includes(price))) {
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

/** Returns what is wrong with the providers' variables; providers are given secrets, so only https is allowed, except on this machine. */
function findProviderProblems(given: Given): string[] {
  const problems = PROVIDER_ADDRESSES.filter((name) => !isSafeAddress(given[name])).map(describeInvalid);
  if (given.GITHUB_CLIENT_ID !== undefined && given.GITHUB_CLIENT_SECRET === undefined) {
    problems.push(describeMissing('GITHUB_CLIENT_SECRET', 'GITHUB_CLIENT_ID'));
  }
  if (given.OAUTH_REDIRECT_URIS !== undefined && !isRedirectList(given.OAUTH_REDIRECT_URIS)) {
    problems.push(describeInvalid('OAUTH_REDIRECT_URIS'));
  }
  return problems;
}

function isSafeAddress(address: string | undefined): boolean {
  if (address === undefined || !URL.canParse(address)) return true;
  const { protocol, hostname } = new URL(address);
  return protocol !== 'http:' || ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
}

/** Returns everything the given variables only say together, or only in detail, that a server cannot start with. */
export function findServerProblems(given: Given): string[] {
  const problems = findDatabaseProblems(given);
  const isExternal = given.DATABASE_URL !== undefined || given.SUPABASE_URL !== undefined;
  if (isExternal && given.JWT_SECRET === undefined) {
    problems.push('JWT_SECRET is missing (32 characters at least; only the embedded database comes with its own)');
  }
  // One that is too short altogether is refused by its schema.
  if (given.JWT_SECRET !== undefined && given.JWT_SECRET.length >= 32 && !isSecretList(given.JWT_SECRET)) {
    problems.push(describeInvalid('JWT_SECRET'));
  }
  if (given.CORS_ORIGINS !== undefined && !isCorsOriginList(given.CORS_ORIGINS)) {
    problems.push(describeInvalid('CORS_ORIGINS'));
  }
  if (given.TRUST_PROXY !== undefined && !namesProxies(given.TRUST_PROXY)) {
    problems.push(describeInvalid('TRUST_PROXY'));
  }
  problems.push(...findMailProblems(given), ...findProviderProblems(given), ...findPaymentProblems(given));
  if (given.DEVICE_ENROLLMENT === 'key' && given.ENROLLMENT_KEY === undefined) {
    problems.push(describeMissing('ENROLLMENT_KEY', 'DEVICE_ENROLLMENT=key'));
  }
  return problems;
}
