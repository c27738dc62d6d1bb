import type { UserIdentity } from '../../auth/guards/user-identity.js';
import { createBatcher } from '../../metering/batcher.js';
import { outcomeReader, outcomesOf } from '../../metering/outcomes.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import type { Json } from '../../platform/database/client/types.js';
import { type RecordedUsage, RecordedUsageSchema, type UsageEvent } from './schemas.js';

type Item = Record<string, Json>;

/** Records what extensions observed; the rules are the SQL function `record_usage`'s. */
export interface UsageRecorder {
  /** Records one event; those of concurrent requests share a call. Throws the code of a refusal. */
  readonly record: (caller: UserIdentity, event: UsageEvent, key: string | undefined) => Promise<RecordedUsage>;
  /** Records many events of one caller in one call: an outcome each, to be read with {@link readRecorded}. */
  readonly recordAll: (caller: UserIdentity, events: readonly UsageEvent[]) => Promise<readonly Json[]>;
}

/** Reads an outcome; a refusal throws its code. */
export const readRecorded = outcomeReader(RecordedUsageSchema);

function itemOf(caller: UserIdentity, event: UsageEvent, key: string | undefined): Item {
  return {
    ...caller,
    provider: event.provider,
    model: event.model,
    input_tokens: event.inputTokens,
    output_tokens: event.outputTokens,
    total_tokens: event.totalTokens ?? null,
    timestamp_ms: event.timestamp,
    url: event.url ?? null,
    key: key ?? null,
  };
}

/**
 * Builds the recorder over a database.
 * @param retentionMonths how many full months are kept: older events are refused
 */
export function createUsageRecorder(database: DatabaseClient, retentionMonths: number): UsageRecorder {
  const send = async (items: readonly Item[]) => {
    const call = { p_items: [...items], p_retention_months: retentionMonths };
    return outcomesOf(await callDatabase(() => database.rpc('record_usage', call)), items.length);
  };
  const submit = createBatcher<Item, Json>(send);
  return {
    record: async (caller, event, key) => readRecorded(await submit(itemOf(caller, event, key))),
    recordAll: (caller, events) => send(events.map((event) => itemOf(caller, event, event.event_id))),
  };
}
