import { type Static, Type } from '@sinclair/typebox';
import { Archive } from './archive.js';
import { PoolSize } from './pool-size.js';
import { ReadReplica } from './read-replica.js';
import { HeaderKey, Secret } from './variable-types.js';

/** The variables about the database. */
export const Database = {
  DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'Where the embedded Postgres keeps its data.',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'Use this Postgres instead of the embedded one.' }),
  ),
  ...PoolSize,
  ...ReadReplica,
  SUPABASE_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: "Use this Supabase project's Data API." }),
  ),
  SUPABASE_SECRET_KEY: HeaderKey("The project's secret (or service_role) key; needed with SUPABASE_URL."),
  SUPABASE_PUBLISHABLE_KEY: HeaderKey(
    "The project's publishable (or anon) key, for requests in a user's own name; falls back to the secret key.",
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
  ...Archive,
};

const DatabaseSchema = Type.Object(Database);
type DatabaseEnvironment = Static<typeof DatabaseSchema>;

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

/** Returns the signing key of database tokens; the JWK wins where both are set. */
function toSigningKey({ SUPABASE_JWT_SECRET, SUPABASE_JWT_SIGNING_KEY }: DatabaseEnvironment): TokenKey | undefined {
  if (SUPABASE_JWT_SIGNING_KEY !== undefined) return { jwk: SUPABASE_JWT_SIGNING_KEY };
  return SUPABASE_JWT_SECRET === undefined ? undefined : { secret: SUPABASE_JWT_SECRET };
}

/** Returns where the database is. */
export function toDatabaseConfig(environment: DatabaseEnvironment): DatabaseConfig {
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
