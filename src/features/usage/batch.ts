import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { Caller } from '../../platform/database/client/caller.js';
import { ApiError } from '../../platform/errors.js';
import { findProblem } from '../../platform/http/json-body.js';
import { readEvent } from './reading.js';
import {
  type RecordedBatch,
  type RecordedUsage,
  type RefusedUsage,
  type UsageEvent,
  UsageEventSchema,
} from './schemas.js';
import { decodeRecorded, type UsageRecorder } from './usage-recorder.js';

type Verdict = RecordedUsage | RefusedUsage;

const events = TypeCompiler.Compile(UsageEventSchema);

function toRefusal(error: ApiError): RefusedUsage {
  return { recorded: false, code: error.code, error: error.message };
}

/** Returns the verdict on an event from its outcome. @throws {ApiError} INVALID_TOKEN */
function toVerdict(outcome: unknown): Verdict {
  try {
    return decodeRecorded(outcome);
  } catch (error) {
    // The caller is the same for all events, so a refused credential is no verdict on one of them.
    if (error instanceof ApiError && error.code !== 'INVALID_TOKEN') return toRefusal(error);
    throw error;
  }
}

/** Refuses an event that cannot be stored, or is of the wrong shape: then it names the first field that is not valid. */
function toShapeRefusal(sent: unknown, event: unknown): RefusedUsage {
  const problem = findProblem(sent);
  if (problem !== undefined) return toRefusal(new ApiError('VALIDATION_FAILED', { sentence: problem }));
  const first = events.Errors(event).First();
  const path = first?.path.slice(1).replaceAll('/', '.') ?? '';
  return toRefusal(new ApiError('VALIDATION_FAILED', { sentence: `${path || 'event'} is not valid` }));
}

/** Looks at a body as at any other, but for the events of a batch, which are judged one by one. */
export function findBodyProblem(body: unknown): string | undefined {
  const isBatch = typeof body === 'object' && body !== null && 'events' in body && Array.isArray(body.events);
  return findProblem(isBatch ? { ...body, events: [] } : body);
}

/**
 * Records events an extension collected while it was offline: each is judged by itself, and valid ones are kept
 * whatever the others are.
 * @returns a verdict for each event, in the order sent, and how many there are of each kind
 * @throws {ApiError} INVALID_TOKEN when the session or key has ended: then none is kept
 */
export async function recordBatch(
  recorder: UsageRecorder,
  caller: Caller,
  sent: readonly unknown[],
): Promise<RecordedBatch> {
  const read = sent.map((event) => (findProblem(event) === undefined ? readEvent(event) : undefined));
  const valid: UsageEvent[] = read.filter((event) => events.Check(event));
  const outcomes = valid.length > 0 ? await recorder.recordAll(caller, valid) : [];
  let next = 0;
  const results = read.map((event, n) =>
    events.Check(event) ? toVerdict(outcomes[next++]) : toShapeRefusal(sent[n], event),
  );
  const kept = results.filter((verdict) => verdict.recorded);
  const duplicates = kept.filter((verdict) => verdict.duplicate).length;
  return { recorded: kept.length - duplicates, duplicates, refused: results.length - kept.length, results };
}
