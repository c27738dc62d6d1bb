import { Type } from '@sinclair/typebox';
import { LRUCache } from 'lru-cache';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import type { UserIdentity } from '../guards/user-identity.js';
import { digestOf } from '../tokens/opaque-token.js';
import { isApiKey } from './api-key.js';

/** Whose a key is never changes, so remembering it is safe; a minute keeps `last_used_at` true to the minute. */
const REMEMBERED_MS = 60_000;
const KEYS_REMEMBERED = 10_000;

const holderOf = shapeOf(Type.Object({ id: Type.String(), api_key_id: Type.String() }));

/** Finds the person an API key belongs to; throws INVALID_TOKEN for a key that is not known or has ended. */
export type KeyHolders = (key: string) => Promise<UserIdentity>;

/** Builds the look-up of API keys. Whether a remembered key is still good is asked by what is done with it. */
export function createKeyHolders(database: DatabaseClient): KeyHolders {
  const remembered = new LRUCache<string, UserIdentity>({ max: KEYS_REMEMBERED, ttl: REMEMBERED_MS });
  return async (key) => {
    if (!isApiKey(key)) throw new ApiError('INVALID_TOKEN');
    const digest = digestOf(key);
    const known = remembered.get(digest);
    if (known !== undefined) return known;
    const holder = holderOf(await callDatabase(() => database.rpc('authenticate_api_key', { p_key_hash: digest })));
    remembered.set(digest, holder);
    return holder;
  };
}
