import { DatabaseError } from '../../../platform/database/client/database-error.js';
import { ApiError, toApiError } from '../../../platform/errors.js';
import type { StreamEnd } from '../codec.js';
import type { AnswerBody } from '../openrouter/answer-body.js';
import { stopsBilling } from '../openrouter/upstream.js';
import type { Relay } from './answer.js';
import { type Progress, passEvents } from './pass-events.js';
import { createDataReader } from './read-data.js';
import { watchReading } from './reading-limits.js';

/** How long upstream may take to close its stream after the end mark, so that its connection can be used again. */
const DRAIN_MS = 1_000;

/** Returns what a client is told of an error within a stream. */
export function toStreamError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return error instanceof DatabaseError ? toApiError(error) : new ApiError('UPSTREAM_FAILED', { cause: error });
}

/** Reads what follows the end mark, so that the connection can be used again. */
async function drainBody(body: AnswerBody): Promise<void> {
  const timer = setTimeout(() => body.destroy(), DRAIN_MS);
  try {
    await body.read(() => false);
  } catch {
    body.destroy();
  } finally {
    clearTimeout(timer);
  }
}

/** How reading a stream ended. */
export interface ReadingEnd extends Pick<StreamEnd, 'stopReason' | 'lastEvent'> {
  /** Whether it broke off, so that upstream may have gone on with it. */
  readonly isBroken: boolean;
}

/** Reads upstream's stream for as long as it lasts and may. */
export async function readStream(relay: Relay): Promise<ReadingEnd> {
  const { body, client, usage, abortSignal, limits, codec } = relay;
  const progress: Progress = { stopReason: undefined, isFinished: false, lastEvent: '' };
  const stop = () => body.destroy();
  let limitCause: Error | undefined;
  const watch = watchReading(limits, (cause) => {
    limitCause = cause;
    stop();
  });
  client.onGone(() => {
    watch.abandon();
    if (stopsBilling(usage.origin().provider)) stop();
  });
  let isBroken = false;
  try {
    await passEvents(relay, { readData: createDataReader(codec), watch, progress, waiting: [] });
  } catch (error) {
    // What upstream has told before of an error is why the stream ended.
    isBroken = progress.stopReason === undefined;
    // Where nothing came, nobody knows what upstream makes of the request; the rest is known by what came.
    const code = usage.isBillable() ? 'UPSTREAM_FAILED' : 'UPSTREAM_TIMEOUT';
    const cause = limitCause ?? error;
    const fault = error instanceof ApiError || error instanceof DatabaseError ? toStreamError(error) : undefined;
    progress.stopReason ??= { kind: 'fault', error: fault ?? new ApiError(code, { cause }) };
  } finally {
    watch.stop();
  }
  const isComplete = progress.stopReason === undefined && !client.isGone();
  if (isComplete) void drainBody(body);
  else body.destroy();
  if (abortSignal.aborted && !isComplete) {
    return { stopReason: { kind: 'fault', error: new ApiError('SERVER_STOPPING') }, lastEvent: '', isBroken };
  }
  return { stopReason: progress.stopReason, lastEvent: progress.lastEvent, isBroken };
}
