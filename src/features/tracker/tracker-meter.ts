import { type Static, Type } from '@sinclair/typebox';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';

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
}

/** Counts usage that clients observed, by the rules of the SQL function `track_usage`. */
export interface TrackerMeter {
  /** Adds to an account's counters and returns their new values. */
  readonly track: (userId: string, use: TrackedUse) => Promise<Counters>;
}

/** Creates the meter of trackers over a database; all its calls share batches. */
export function createTrackerMeter(database: Database): TrackerMeter {
  const submit = createOutcomeBatcher(database, 'track_usage', (p_items: Record<string, Json>[]) => ({ p_items }));
  return {
    track: async (userId, { usage, tokenCount, idempotencyKey }) =>
      decodeCounters(await submit({ user_id: userId, usage, token_count: tokenCount, key: idempotencyKey ?? null })),
  };
}
