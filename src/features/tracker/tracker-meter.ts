import { type Static, Type } from '@sinclair/typebox';
import { createBatcher } from '../../metering/batcher.js';
import { outcomeReader, outcomesOf } from '../../metering/outcomes.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import type { Json } from '../../platform/database/client/types.js';

const Count = Type.Integer({ minimum: 0 });
const CountersSchema = Type.Object({ prompts: Count, tokens: Count });
const readCounters = outcomeReader(CountersSchema);

/** Prompts and language-model tokens counted for an account so far. */
export type Counters = Static<typeof CountersSchema>;

/** Usage a client observed elsewhere. */
export interface TrackedUse {
  readonly usage: number;
  readonly tokenCount: number;
  readonly idempotencyKey: string | undefined;
}

/** Counts what clients observe; the rules are the SQL function `track_usage`'s. */
export interface TrackerMeter {
  /** Adds to an account's counters; answers them as they are after it. */
  readonly track: (userId: string, use: TrackedUse) => Promise<Counters>;
}

/** Builds the meter of trackers over a database; all its calls share batches. */
export function createTrackerMeter(database: DatabaseClient): TrackerMeter {
  const submit = createBatcher<Record<string, Json>, Json>(async (items) => {
    const answer = await callDatabase(() => database.rpc('track_usage', { p_items: [...items] }));
    return outcomesOf(answer, items.length);
  });
  return {
    track: async (userId, { usage, tokenCount, idempotencyKey }) =>
      readCounters(await submit({ user_id: userId, usage, token_count: tokenCount, key: idempotencyKey ?? null })),
  };
}
