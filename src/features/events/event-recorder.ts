import type { Static } from '@sinclair/typebox';
import type { Sender } from '../../metering/lane.js';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';
import { type FeatureEvent, RecordedFeatureSchema } from './schemas.js';

/**
 * Records a use of a feature; those of concurrent requests share a call.
 * @param sender who waits for the answer: once that is gone, a use that has not been sent is dropped
 * @throws {ApiError} the code of a refusal
 */
export type EventRecorder = (
  caller: Caller,
  event: FeatureEvent,
  sender: Sender,
) => Promise<Static<typeof RecordedFeatureSchema>>;

interface Item extends Record<string, Json> {
  readonly id: string;
}

const decodeRecorded = createOutcomeDecoder(RecordedFeatureSchema);

/**
 * Creates the recorder over a database; the SQL function `record_features` holds the rules.
 * @param retentionMonths how many full months are kept: older events are refused
 */
export function createEventRecorder(database: Database, retentionMonths: number): EventRecorder {
  const toArguments = (p_items: Item[]) => ({ p_items, p_retention_months: retentionMonths });
  const submit = createOutcomeBatcher(database, 'record_features', toArguments, { toSubject: ({ id }) => id });
  return async (caller, { name, properties, timestamp }, sender) => {
    const item = { ...caller, name: name.trim(), properties: properties ?? {}, timestamp_ms: timestamp ?? null };
    return decodeRecorded(await submit(item, sender));
  };
}
