import { type JWTPayload, errors as joseErrors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { DataApiError } from './data-api-error.js';

/** Roles a token may name. Anything else, the login role included, is refused before Postgres is asked. */
const ROLES = ['anon', 'authenticated', 'service_role'] as const;
export type Role = (typeof ROLES)[number];

/** Who a Data API request acts as: a role and the claims Postgres sees as `request.jwt.claims`. */
export interface Caller {
  readonly role: Role;
  readonly claims: string;
  /** Whether the claims say no more than the role, and it is the server's own. */
  readonly isServer: boolean;
  /** Whose turn its heavy work takes: the person's or the device's. */
  readonly party: string;
}

const ANONYMOUS: Caller = { role: 'anon', claims: '{"role":"anon"}', isServer: false, party: '' };
const CACHED_TOKENS = 1_000;
/** Largest difference between the clocks of the signer and the verifier, in seconds. */
const CLOCK_SKEW_SECONDS = 30;

function isRole(value: unknown): value is Role {
  return ROLES.some((role) => role === value);
}

function toCaller(payload: JWTPayload): Caller {
  const role = payload['role'] ?? 'anon';
  if (!isRole(role)) throw new DataApiError(403, '42501', `permission denied to set role "${String(role)}"`);
  const isServer = role === 'service_role' && Object.keys(payload).length === 1;
  const party = String(payload.sub ?? payload['device_id'] ?? '');
  return { role, claims: JSON.stringify({ ...payload, role }), isServer, party };
}

async function verify(token: string, secret: Uint8Array): Promise<JWTPayload> {
  const options = { algorithms: ['HS256'], clockTolerance: CLOCK_SKEW_SECONDS };
  const { payload } = await jwtVerify(token, secret, options);
  if ((payload.iat ?? 0) > Date.now() / 1000 + CLOCK_SKEW_SECONDS) {
    throw new DataApiError(401, 'PGRST303', 'JWT issued at future');
  }
  return payload;
}

function toDataApiError(error: unknown): DataApiError {
  if (error instanceof DataApiError) return error;
  if (error instanceof joseErrors.JWTExpired) return new DataApiError(401, 'PGRST303', 'JWT expired');
  if (error instanceof joseErrors.JWTClaimValidationFailed) {
    return new DataApiError(401, 'PGRST303', 'JWT claims validation failed');
  }
  return new DataApiError(401, 'PGRST301', 'JWT could not be decoded or verified');
}

/** Returns how long a token may be remembered, as the cache takes it: 0 is for ever. */
function remainingMs({ exp }: JWTPayload): number {
  if (exp === undefined) return 0;
  return Math.max(1, (exp + CLOCK_SKEW_SECONDS) * 1_000 - Date.now());
}

/**
 * Builds the check of `Authorization: Bearer` tokens (HS256) for the direct Data API.
 * No bearer token, or one without a role, is the role `anon`. A verified token is remembered until it expires, as the server uses few.
 *
 * @param secret the key database tokens are signed with
 * @returns a function from the header's value to the caller; it throws a {@link DataApiError}
 *   (401 PGRST301 not decodable or foreign, 401 PGRST303 expired or not yet valid, 403 a role not on the list)
 */
export function createCallerCheck(secret: Uint8Array): (authorization: string | null) => Promise<Caller> {
  // By the header as it is; tokens expire by the clock on the wall.
  const verified = new LRUCache<string, Caller>({ max: CACHED_TOKENS, perf: Date });
  return async (authorization) => {
    if (authorization === null) return ANONYMOUS;
    const known = verified.get(authorization);
    if (known !== undefined) return known;
    const bearer = /^Bearer(?:\s+(.*))?$/i.exec(authorization);
    if (bearer === null) return ANONYMOUS;
    try {
      const payload = await verify(bearer[1] ?? '', secret);
      const caller = toCaller(payload);
      verified.set(authorization, caller, { ttl: remainingMs(payload) });
      return caller;
    } catch (error) {
      throw toDataApiError(error);
    }
  };
}
