import { type Static, Type } from '@sinclair/typebox';
import { LRUCache } from 'lru-cache';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { sha256Hex } from '../tokens/crypto.js';
import { isApiKey } from './api-key.js';
import { ApiKeyScopeSchema } from './scopes.js';

const OwnerSchema = Type.Object({
  id: Type.String(),
  api_key_id: Type.String(),
  scopes: Type.Array(ApiKeyScopeSchema),
});

/** The person an API key belongs to, and what it opens. */
type ApiKeyOwner = Static<typeof OwnerSchema>;

/** How long a look-up is good for: a minute keeps `last_used_at` true to the minute. */
const FRESH_MS = 60_000;
const KEYS_REMEMBERED = 10_000;

/** Finds the person an API key belongs to; throws INVALID_TOKEN for a key that is not known or has ended. */
export type ApiKeyOwners = (key: string) => Promise<ApiKeyOwner>;

/** A key's owner, and when the look-up began that found them, by the process's clock. */
interface Remembered {
  readonly owner: ApiKeyOwner;
  readonly since: number;
}

/**
 * Builds the look-up of API keys. A key changes neither hands nor scopes, so its owner may be remembered; whether it is still good is
 * decided by what is done with it. Nobody waits for a key that is known to be looked up again.
 */
export function createApiKeyOwners(database: Database, freshMs = FRESH_MS): ApiKeyOwners {
  const remembered = new LRUCache<string, Remembered>({ max: KEYS_REMEMBERED });

  const lookUp = async (digest: string): Promise<ApiKeyOwner> => {
    const since = performance.now();
    const owner = await database.call('authenticate_api_key', { p_key_hash: digest }, OwnerSchema);
    remembered.set(digest, { owner, since });
    return owner;
  };
  const lookUpAgain = (digest: string, owner: ApiKeyOwner) => {
    // Those who come meanwhile need not look it up as well.
    remembered.set(digest, { owner, since: performance.now() });
    // Whoever comes next is told what is wrong with it, or with the database.
    lookUp(digest).catch(() => remembered.delete(digest));
  };

  return async (key) => {
    if (!isApiKey(key)) throw new ApiError('INVALID_TOKEN');
    const digest = sha256Hex(key);
    const known = remembered.get(digest);
    if (known === undefined) return lookUp(digest);
    if (performance.now() - known.since >= freshMs) lookUpAgain(digest, known.owner);
    return known.owner;
  };
}
