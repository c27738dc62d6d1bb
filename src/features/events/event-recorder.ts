import type { Static } from '@sinclair/typebox';
import type { UserIdentity } from '../../auth/guards/user-identity.js';
import { createBatcher } from '../../metering/batcher.js';
import { outcomeReader, outcomesOf } from '../../metering/outcomes.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import type { Json } from '../../platform/database/client/types.js';
import { type FeatureEvent, RecordedFeatureSchema } from './schemas.js';

/** Records uses of features; those of concurrent requests share a call. Throws the code of a refusal. */
export type FeatureRecorder = (
  caller: UserIdentity,
  event: FeatureEvent,
) => Promise<Static<typeof RecordedFeatureSchema>>;

const readRecorded = outcomeReader(RecordedFeatureSchema);

/**
 * Builds the recorder over a database; the rules are the SQL function `record_features`'.
 * @param retentionMonths how many full months are kept: older events are refused
 */
export function createFeatureRecorder(database: DatabaseClient, retentionMonths: number): FeatureRecorder {
  const submit = createBatcher<Record<string, Json>, Json>(async (items) => {
    const call = { p_items: [...items], p_retention_months: retentionMonths };
    return outcomesOf(await callDatabase(() => database.rpc('record_features', call)), items.length);
  });
  return async (caller, { name, properties, timestamp }) =>
    readRecorded(
      await submit({ ...caller, name: name.trim(), properties: properties ?? {}, timestamp_ms: timestamp ?? null }),
    );
}
