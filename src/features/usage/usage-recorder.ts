import type { Sender } from '../../metering/lane.js';
import { callForOutcomes, createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';
import { type RecordedUsage, RecordedUsageSchema, type UsageEvent } from './schemas.js';

interface Item extends Record<string, Json> {
  readonly id: string;
}

/** The model of an event whose client does not know it. */
const UNKNOWN_MODEL = 'unknown';

/** Records usage that extensions observed, by the rules of the SQL function `record_usage`. */
export interface UsageRecorder {
  /**
   * Records one event; those of concurrent requests share a call.
   * @param sender who waits for the answer: once that is gone, an event that has not been sent is dropped
   * @throws {ApiError} the code of a refusal
   */
  readonly record: (
    caller: Caller,
    event: UsageEvent,
    key: string | undefined,
    sender: Sender,
  ) => Promise<RecordedUsage>;
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
    timestamp_ms: event.timestamp ?? null,
    url: event.url ?? null,
    key: key ?? null,
  };
}

/**
 * Creates the recorder over a database.
 * @param retentionMonths how many full months are kept: older events count in summaries only
 */
export function createUsageRecorder(database: Database, retentionMonths: number): UsageRecorder {
  const toArguments = (p_items: Item[]) => ({ p_items, p_retention_months: retentionMonths });
  const submit = createOutcomeBatcher(database, 'record_usage', toArguments, { toSubject: ({ id }) => id });
  return {
    record: async (caller, event, key, sender) => decodeRecorded(await submit(toItem(caller, event, key), sender)),
    recordAll: (caller, events) => {
      const items = events.map((event) => toItem(caller, event, event.event_id));
      return callForOutcomes(database, 'record_usage', toArguments(items), items.length, { heavyFor: caller.id });
    },
  };
}
