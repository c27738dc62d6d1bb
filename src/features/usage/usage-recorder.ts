import { createBatcher } from '../../metering/batcher.js';
import { callForOutcomes, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';
import { type RecordedUsage, RecordedUsageSchema, type UsageEvent } from './schemas.js';

type Item = Record<string, Json>;

/** The model of an event whose client does not know it. */
const UNKNOWN_MODEL = 'unknown';

/** Records usage that extensions observed, by the rules of the SQL function `record_usage`. */
export interface UsageRecorder {
  /** Records one event; those of concurrent requests share a call. @throws {ApiError} the code of a refusal */
  readonly record: (caller: Caller, event: UsageEvent, key: string | undefined) => Promise<RecordedUsage>;
  /** Records many events of one caller in one call; returns an outcome each, for {@link decodeRecorded}. */
  readonly recordAll: (caller: Caller, events: readonly UsageEvent[]) => Promise<readonly unknown[]>;
}

/** Decodes an outcome. @throws {ApiError} the code of a refusal */
export const decodeRecorded = createOutcomeDecoder(RecordedUsageSchema);

function toItem(caller: Caller, event: UsageEvent, key: string | undefined): Item {
  return {
    ...caller,
    provider: event.provider,
    model: event.model ?? UNKNOWN_MODEL,
    input_tokens: event.inputTokens,
    output_tokens: event.outputTokens,
    total_tokens: event.totalTokens ?? null,
    timestamp_ms: event.timestamp,
    url: event.url ?? null,
    key: key ?? null,
  };
}

/**
 * Creates the recorder over a database.
 * @param retentionMonths how many full months are kept: older events count in summaries only
 */
export function createUsageRecorder(database: Database, retentionMonths: number): UsageRecorder {
  const send = (items: readonly Item[]) => {
    const args = { p_items: [...items], p_retention_months: retentionMonths };
    return callForOutcomes(database, 'record_usage', args, items.length);
  };
  const submit = createBatcher<Item, unknown>(send);
  return {
    record: async (caller, event, key) => decodeRecorded(await submit(toItem(caller, event, key))),
    recordAll: (caller, events) => send(events.map((event) => toItem(caller, event, event.event_id))),
  };
}
