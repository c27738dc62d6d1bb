import { type Static, Type } from '@sinclair/typebox';
import type { VersionedSubject } from '../../auth/tokens/claims.js';
import type { Config } from '../../config/config.js';
import type { Sender } from '../../metering/lane.js';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';
import { ApiError } from '../../platform/errors.js';

const Count = Type.Integer({ minimum: 0 });
const CountersSchema = Type.Object({ prompts: Count, tokens: Count });
const decodeCounters = createOutcomeDecoder(CountersSchema);

/** Prompts and language-model tokens counted for an account so far. */
export type Counters = Static<typeof CountersSchema>;

/** Usage a client observed elsewhere. */
export interface TrackedUse {
  readonly usage: number;
  readonly tokenCount: number;
  readonly idempotencyKey: string | undefined;
  /** Who waits for the answer: once that is gone, a count that has not been sent is dropped. */
  readonly sender?: Sender;
}

interface Item extends Record<string, Json> {
  readonly user_id: string;
}

/** What may be counted, as whoever knows an address may count for it. */
export type TrackerBounds = Config['tracker']['bounds'];

/** Counts usage that clients observed, by the rules of the SQL function `track_usage`. */
export interface TrackerMeter {
  /**
   * Adds to an account's counters and returns their new values.
   * @throws {ApiError} VALIDATION_FAILED beyond what one call may count, TRACKER_DAY_LIMIT beyond what a day may,
   *   TRACKER_TOKEN_INVALID for a revoked token, USER_NOT_FOUND
   */
  readonly track: (account: VersionedSubject, use: TrackedUse) => Promise<Counters>;
}

function requireWithin({ usage, tokenCount }: TrackedUse, { call }: TrackerBounds): void {
  const [name, most] = usage > call.prompts ? ['usage', call.prompts] : ['tokenCount', call.tokens];
  if (usage <= call.prompts && tokenCount <= call.tokens) return;
  throw new ApiError('VALIDATION_FAILED', { sentence: `${name} must be at most ${most} a call` });
}

/** Creates the meter of trackers over a database; all its calls share batches. */
export function createTrackerMeter(database: Database, bounds: TrackerBounds): TrackerMeter {
  const submit = createOutcomeBatcher(database, 'track_usage', (p_items: Item[]) => ({ p_items }), {
    toSubject: ({ user_id }) => user_id,
  });
  const perDay = { most_prompts: bounds.day.prompts, most_tokens: bounds.day.tokens };
  return {
    track: async ({ id: user_id, version }, use) => {
      requireWithin(use, bounds);
      const { usage, tokenCount: token_count, idempotencyKey, sender } = use;
      const item = { user_id, version, usage, token_count, key: idempotencyKey ?? null, ...perDay };
      return decodeCounters(await submit(item, sender));
    },
  };
}
