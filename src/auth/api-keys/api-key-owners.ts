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

/** A key changes neither hands nor scopes, so remembering them is safe; a minute keeps `last_used_at` true to the minute. */
const REMEMBERED_MS = 60_000;
const KEYS_REMEMBERED = 10_000;

/** Finds the person an API key belongs to; throws INVALID_TOKEN for a key that is not known or has ended. */
export type ApiKeyOwners = (key: string) => Promise<ApiKeyOwner>;

/** Builds the look-up of API keys. Whether a remembered key is still good is decided by what is done with it. */
export function createApiKeyOwners(database: Database): ApiKeyOwners {
  const remembered = new LRUCache<string, ApiKeyOwner>({ max: KEYS_REMEMBERED, ttl: REMEMBERED_MS });
  return async (key) => {
    if (!isApiKey(key)) throw new ApiError('INVALID_TOKEN');
    const digest = sha256Hex(key);
    const known = remembered.get(digest);
    if (known !== undefined) return known;
    const owner = await database.call('authenticate_api_key', { p_key_hash: digest }, OwnerSchema);
    remembered.set(digest, owner);
    return owner;
  };
}
