import { callDatabase, type DatabaseClient } from '../database/client.js';
import type { Json } from '../database/types.js';
import type { UserIdentity } from '../identity/user-identity.js';
import { type RecordedUsage, RecordedUsageSchema, type UsageEvent } from '../usage/schemas.js';
import { createBatcher } from './batcher.js';
import { outcomeReader, outcomesOf } from './outcomes.js';

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
