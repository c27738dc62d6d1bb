import type { Static } from '@sinclair/typebox';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Caller, DeviceCaller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';
import { type FeatureEvent, RecordedFeatureSchema } from './schemas.js';

/** Records a use of a feature; those of concurrent requests share a call. @throws {ApiError} the code of a refusal */
export type EventRecorder = (
  sender: Caller | DeviceCaller,
  event: FeatureEvent,
) => Promise<Static<typeof RecordedFeatureSchema>>;

const decodeRecorded = createOutcomeDecoder(RecordedFeatureSchema);

/**
 * Creates the recorder over a database; the SQL function `record_features` holds the rules.
 * @param retentionMonths how many full months are kept: older events are refused
 */
export function createEventRecorder(database: Database, retentionMonths: number): EventRecorder {
  const submit = createOutcomeBatcher(database, 'record_features', (p_items: Record<string, Json>[]) => ({
    p_items,
    p_retention_months: retentionMonths,
  }));
  return async (sender, { name, properties, timestamp }) =>
    decodeRecorded(
      await submit({ ...sender, name: name.trim(), properties: properties ?? {}, timestamp_ms: timestamp ?? null }),
    );
}
