import { Type } from '@sinclair/typebox';
import { LRUCache } from 'lru-cache';
import type { Database } from '../../platform/database/client/database.js';

/** Returns the tier of an account as its place among the tiers: 0 for the lowest, also where nobody knows. */
export type FindTier = (accountId: string) => Promise<number>;

const TIERS = ['free', 'pro', 'premium'];
const KEPT_SECONDS = 300;
const MAX_KEPT = 10_000;
const TierSchema = Type.Union([Type.String(), Type.Null()]);

/** Creates the function that tells tiers; what the database said is believed for 5 minutes. */
export function createFindTier(database: Database): FindTier {
  const tiers = new LRUCache<string, number>({
    max: MAX_KEPT,
    ttl: KEPT_SECONDS * 1_000,
    fetchMethod: async (p_account) => {
      const tier = await database.call('account_tier', { p_account }, TierSchema);
      return Math.max(0, TIERS.indexOf(tier ?? ''));
    },
  });
  return async (accountId) => {
    // A database out of reach is no reason to let more through, nor to answer other than usual.
    const tier = await tiers.fetch(accountId).catch(() => undefined);
    return tier ?? 0;
  };
}
