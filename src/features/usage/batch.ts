import type { Static } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Caller } from '../../platform/database/client/caller.js';
import { ApiError } from '../../platform/errors.js';
import {
  type RecordedBatchSchema,
  type RecordedUsage,
  type RefusedUsage,
  type UsageEvent,
  UsageEventSchema,
} from './schemas.js';
import { decodeRecorded, type UsageRecorder } from './usage-recorder.js';

type Verdict = RecordedUsage | RefusedUsage;

const events = TypeCompiler.Compile(UsageEventSchema);

function refusalOf(error: ApiError): RefusedUsage {
  return { recorded: false, code: error.code, error: error.message };
}

function verdictOf(outcome: unknown): Verdict {
  try {
    return decodeRecorded(outcome);
  } catch (error) {
    // Who asks is the same for all: that is no verdict on an event.
    if (error instanceof ApiError && error.code !== 'INVALID_TOKEN') return refusalOf(error);
    throw error;
  }
}

/** Why an event of the wrong shape is refused. */
function shapeRefusal(event: unknown): RefusedUsage {
  const first = events.Errors(event).First();
  const path = first?.path.slice(1).replaceAll('/', '.') ?? '';
  return refusalOf(new ApiError('VALIDATION_FAILED', { sentence: `${path || 'event'} is not valid` }));
}

/**
 * Records events an extension collected while it was offline: each is judged by itself, and those that are good are
 * kept, whatever the others are.
 * @throws {ApiError} INVALID_TOKEN when the session or key has ended: then none is kept
 */
export async function recordBatch(
  recorder: UsageRecorder,
  caller: Caller,
  sent: readonly unknown[],
): Promise<Static<typeof RecordedBatchSchema>> {
  const good: UsageEvent[] = sent.filter((event) => events.Check(event));
  const outcomes = good.length > 0 ? await recorder.recordAll(caller, good) : [];
  let next = 0;
  const results = sent.map((event) => (events.Check(event) ? verdictOf(outcomes[next++]) : shapeRefusal(event)));
  const kept = results.filter((verdict) => verdict.recorded);
  const duplicates = kept.filter((verdict) => verdict.duplicate).length;
  return { recorded: kept.length - duplicates, duplicates, refused: results.length - kept.length, results };
}
