import { type CryptoKey, importJWK, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import type { TokenKey } from '../config.js';
import { StartupError } from '../startup-error.js';

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

async function signatureOf(key: TokenKey): Promise<Signature> {
  if ('secret' in key) return { header: { alg: 'HS256' }, key: new TextEncoder().encode(key.secret) };
  try {
    const jwk = JSON.parse(key.jwk);
    const imported = await importJWK(jwk, 'ES256');
    if (imported instanceof Uint8Array || imported.type !== 'private') throw new TypeError('not a private key');
    return { header: { alg: 'ES256', ...(typeof jwk.kid === 'string' && { kid: jwk.kid }) }, key: imported };
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
