import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type CryptoKey, importJWK, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import type { TokenKey } from '../../../config/config.js';
import { StartupError } from '../../startup-error.js';

const LIFETIME_SECONDS = 300;
/** A remembered token has a minute left at least. */
const REMEMBERED_MS = (LIFETIME_SECONDS - 60) * 1_000;
const TOKENS_REMEMBERED = 10_000;

/** Makes a database token: what the Data API believes of who is asking. */
export type TokenMinter = (claims: Readonly<Record<string, string>>) => Promise<string>;

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

async function signatureOf(tokenKey: TokenKey): Promise<Signature> {
  if ('secret' in tokenKey) return { header: { alg: 'HS256' }, key: new TextEncoder().encode(tokenKey.secret) };
  try {
    const jwk: unknown = JSON.parse(tokenKey.jwk);
    Value.Assert(PrivateKeySchema, jwk);
    // Only what makes the key: Supabase's own keys also name uses that Web Cryptography refuses for a private key.
    const { kty, crv, d, x, y, kid } = jwk;
    const key = await importJWK({ kty, crv, d, x, y }, 'ES256');
    return { header: { alg: 'ES256', ...(kid !== undefined && { kid }) }, key };
  } catch (error) {
    throw new StartupError('SUPABASE_JWT_SIGNING_KEY is not a private ES256 key as JSON (JWK)', { cause: error });
  }
}

/**
 * Builds a maker of short-lived database tokens (RFC 7519), as a Supabase project signs its own. Tokens are remembered
 * by their claims.
 * @throws {StartupError} when the key cannot be used
 */
export async function createTokenMinter(tokenKey: TokenKey): Promise<TokenMinter> {
  const { header, key } = await signatureOf(tokenKey);
  const remembered = new LRUCache<string, string>({ max: TOKENS_REMEMBERED, ttl: REMEMBERED_MS });
  return async (claims) => {
    const name = JSON.stringify(claims);
    const known = remembered.get(name);
    if (known !== undefined) return known;
    const token = await new SignJWT(claims)
      .setProtectedHeader({ ...header, typ: 'JWT' })
      .setIssuedAt()
      .setExpirationTime(`${LIFETIME_SECONDS}s`)
      .sign(key);
    remembered.set(name, token);
    return token;
  };
}
