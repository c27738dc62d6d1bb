import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type CryptoKey, importJWK, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import type { TokenKey } from '../../../config/database.js';
import { StartupError } from '../../../config/startup-error.js';

const LIFETIME_SECONDS = 300;
/** A token that was minted before is good for at least so many more seconds. */
const LEAST_LEFT_SECONDS = 60;
const MAX_CACHED_TOKENS = 10_000;

/** Mints a database token: the claims the Data API trusts about who is asking. */
export type TokenMinter = (claims: Readonly<Record<string, string>>) => Promise<string>;

interface Minted {
  readonly token: string;
  /** When it was issued, in seconds since 1970. */
  readonly issuedAt: number;
}

interface Signature {
  readonly header: { readonly alg: string; readonly kid?: string };
  readonly key: CryptoKey | Uint8Array;
}

const PrivateKeySchema = Type.Object({
  kty: Type.Literal('EC'),
  crv: Type.Literal('P-256'),
  d: Type.String(),
  x: Type.String(),
  y: Type.String(),
  kid: Type.Optional(Type.String()),
});

/** Imports the key tokens are signed with. @throws {StartupError} when it cannot be used */
async function importSigningKey(tokenKey: TokenKey): Promise<Signature> {
  if ('secret' in tokenKey) return { header: { alg: 'HS256' }, key: new TextEncoder().encode(tokenKey.secret) };
  try {
    const jwk: unknown = JSON.parse(tokenKey.jwk);
    Value.Assert(PrivateKeySchema, jwk);
    // Only the members that make the key: Supabase's own keys also list uses Web Cryptography refuses for a private key.
    const { kty, crv, d, x, y, kid } = jwk;
    const key = await importJWK({ kty, crv, d, x, y }, 'ES256');
    return { header: { alg: 'ES256', ...(kid !== undefined && { kid }) }, key };
  } catch (error) {
    throw new StartupError('SUPABASE_JWT_SIGNING_KEY is not a private ES256 key as JSON (JWK)', { cause: error });
  }
}

/**
 * Builds the minter of short-lived database tokens (RFC 7519), signed as a Supabase project signs its own. Tokens are
 * cached by their claims.
 * @throws {StartupError} when the key cannot be used
 */
export async function createTokenMinter(tokenKey: TokenKey): Promise<TokenMinter> {
  const { header, key } = await importSigningKey(tokenKey);
  const cache = new LRUCache<string, Minted>({ max: MAX_CACHED_TOKENS });
  return async (claims) => {
    const name = JSON.stringify(claims);
    const known = cache.get(name);
    const issuedAt = Math.floor(Date.now() / 1_000);
    // By the clock on the wall, as those who verify it: set ahead, that ends a token at once, and set back it is from the future.
    const age = known === undefined ? Number.NaN : issuedAt - known.issuedAt;
    if (known !== undefined && age >= 0 && age <= LIFETIME_SECONDS - LEAST_LEFT_SECONDS) return known.token;
    const token = await new SignJWT(claims)
      .setProtectedHeader({ ...header, typ: 'JWT' })
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + LIFETIME_SECONDS)
      .sign(key);
    cache.set(name, { token, issuedAt });
    return token;
  };
}
