import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { DatabaseError } from '../../../platform/database/client/database-error.js';
import { ApiError, toApiError } from '../../../platform/errors.js';
import type { AnswerCodec, StopReason, StreamEnd } from '../codec.js';
import type { Hold, UsageReport } from '../metering/chat-meter.js';
import type { HoldExtender } from '../metering/hold-extender.js';
import { type Settle, ZERO_USAGE } from '../metering/settlement.js';
import type { UsageAccumulator } from '../metering/usage-accumulator.js';
import { stopsBilling } from '../openrouter/upstream.js';
import type { ClientStream } from './client-stream.js';
import { readEvent } from './read-event.js';
import { type ReadingLimits, type ReadingWatch, watchReading } from './reading-limits.js';
import { createEventScanner, type StreamEvent } from './sse.js';

/** An answer upstream has begun, and what settling it takes. */
export interface Answer {
  readonly hold: Hold;
  /** An event stream, or JSON. */
  readonly body: Readable;
  readonly usage: UsageAccumulator;
  /** What is billed where it is not known what upstream made of the request. */
  readonly lost: UsageReport;
  readonly codec: AnswerCodec;
  readonly settle: Settle;
  /** Aborts when the answer has to end at once. */
  readonly abortSignal: AbortSignal;
  readonly limits: ReadingLimits;
  readonly log: FastifyBaseLogger;
}

/** A stream to be passed on. */
interface Relay extends Answer {
  readonly client: ClientStream;
  readonly extender: HoldExtender;
}

/** How long upstream may take to close its stream after the end mark, so that its connection can be used again. */
const DRAIN_MS = 1_000;

function toStreamError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return error instanceof DatabaseError ? toApiError(error) : new ApiError('UPSTREAM_FAILED', { cause: error });
}

/** How far a stream has come. */
interface Progress {
  stopReason: StopReason | undefined;
  /** Whether upstream has said that the answer is complete. */
  isFinished: boolean;
  /** The event that ended the stream, kept back until the answer is settled; empty where there was none. */
  lastEvent: string;
}

/** Counts one event and passes it on, unless it is more than the hold pays for; returns whether it is the stream's last. */
async function handleEvent(
  event: StreamEvent,
  relay: Relay,
  progress: Progress,
  watch: ReadingWatch,
): Promise<boolean> {
  const { client, usage, extender, codec } = relay;
  const reading = readEvent(event, codec);
  // Upstream's words about an error are not passed on; what follows the error is only read for its usage.
  const isSilent = progress.stopReason !== undefined;
  if (reading.kind === 'aside') {
    if (!isSilent) await client.write(reading.bytes);
    return false;
  }
  watch.heard();
  if (reading.kind === 'end') {
    usage.complete();
    return true;
  }
  const { isLast = false } = reading;
  if (reading.chunk !== undefined) usage.observe(reading.chunk);
  if (isLast) usage.complete();
  if (reading.kind === 'fault') {
    progress.stopReason ??= { kind: 'fault', error: reading.error };
    return isLast;
  }
  const { chunk, bytes } = reading;
  progress.isFinished ||= chunk.isFinished;
  if (isSilent) return isLast;
  if (!(await extender.hasBudget())) progress.stopReason = { kind: 'quota' };
  else if (isLast) progress.lastEvent = bytes.toString();
  else if (codec.shouldForward(chunk)) await client.write(bytes);
  return isLast;
}

/** Passes on upstream's events to the end of the stream, or to where it has to stop. */
async function pipeEvents(
  relay: Relay,
  pieces: AsyncIterator<Buffer>,
  progress: Progress,
  watch: ReadingWatch,
): Promise<void> {
  const { client, usage } = relay;
  const scanner = createEventScanner();
  const mustStop = () =>
    progress.stopReason?.kind === 'quota' || (client.isGone() && stopsBilling(usage.origin().provider));

  while (!mustStop()) {
    watch.resume();
    const { done, value } = await pieces.next();
    watch.pause();
    const events = done ? scanner.end() : scanner.push(value);
    for (const event of events) {
      if (await handleEvent(event, relay, progress, watch)) return;
      if (mustStop()) return;
    }
    if (!done) continue;
    // The stream was cut off within an event, and what follows must not run into it.
    if (events.length > 0) await client.write('\n\n');
    if (!progress.isFinished) progress.stopReason ??= { kind: 'fault', error: createCutError() };
    return;
  }
}

function createCutError(): ApiError {
  return new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream ended a stream without its end mark') });
}

/** Reads what follows the end mark, so that the connection can be used again. */
async function drainBody(body: Readable, pieces: AsyncIterator<Buffer>): Promise<void> {
  const timer = setTimeout(() => body.destroy(), DRAIN_MS);
  try {
    while (!(await pieces.next()).done);
  } catch {
    body.destroy();
  } finally {
    clearTimeout(timer);
  }
}

/** How reading a stream ended. */
interface ReadingEnd extends Pick<StreamEnd, 'stopReason' | 'lastEvent'> {
  /** Whether it broke off, so that upstream may have gone on with it. */
  readonly isBroken: boolean;
}

/** Reads upstream's stream for as long as it lasts and may. */
async function readStream(relay: Relay): Promise<ReadingEnd> {
  const { body, client, usage, abortSignal, limits } = relay;
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
  abortSignal.addEventListener('abort', stop, { once: true });
  const pieces: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  let isBroken = false;
  try {
    await pipeEvents(relay, pieces, progress, watch);
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
    abortSignal.removeEventListener('abort', stop);
    body.on('error', () => {});
  }
  const isComplete = progress.stopReason === undefined && !client.isGone();
  if (isComplete) void drainBody(body, pieces);
  else body.destroy();
  if (abortSignal.aborted && !isComplete) {
    return { stopReason: { kind: 'fault', error: new ApiError('SERVER_STOPPING') }, lastEvent: '', isBroken };
  }
  return { stopReason: progress.stopReason, lastEvent: progress.lastEvent, isBroken };
}

/** Returns what to settle. A stream that brought nothing is free where upstream itself ended it. */
async function reportUsage({ usage, extender, lost }: Relay, isBroken: boolean): Promise<UsageReport> {
  if (usage.isBillable()) return usage.report(extender.heldTokens());
  return isBroken ? lost : ZERO_USAGE;
}

/**
 * Passes a stream on, event by event as the client takes them, and settles its hold. However it ends, it is settled with
 * upstream's own count or with an estimate of what came. A stream that brought nothing is not billed, unless it broke off:
 * then upstream may bill it, and its whole hold is what it cost.
 */
export async function relayStream(relay: Relay): Promise<void> {
  const { client, extender, codec, hold, log } = relay;
  const { stopReason, lastEvent, isBroken } = await readStream(relay);
  extender.stop();
  if (stopReason?.kind === 'fault') {
    const { code, cause, extras } = stopReason.error;
    log.warn({ err: cause ?? stopReason.error, code, reason: extras['reason'] }, 'a stream did not end well');
  }
  const report = await reportUsage(relay, isBroken);
  try {
    const settlement = await relay.settle(hold.id, report);
    await client.write(codec.finalEvents({ stopReason, report, settlement, lastEvent }));
  } catch (error) {
    log.error({ err: error }, 'a stream is not settled yet');
    const fault: StopReason = { kind: 'fault', error: toStreamError(error) };
    await client.write(codec.finalEvents({ stopReason: fault, report, settlement: undefined, lastEvent: '' }));
  } finally {
    client.end();
  }
}
