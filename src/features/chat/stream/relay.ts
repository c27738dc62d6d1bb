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
import { joinBytes } from './join-bytes.js';
import { createPieces, type Pieces } from './pieces.js';
import { createDataReader, type ReadData } from './read-data.js';
import { readEvent } from './read-event.js';
import { type ReadingLimits, type ReadingWatch, watchReading } from './reading-limits.js';
import { createEventScanner } from './sse.js';
import type { StreamEvent } from './stream-event.js';

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

/** What reading one stream takes. */
interface Reader {
  readonly pieces: Pieces;
  readonly readData: ReadData;
  readonly watch: ReadingWatch;
  readonly progress: Progress;
  /** What was understood of the latest piece and is to be passed on. */
  readonly waiting: (Buffer | string)[];
}

/**
 * Counts one event and has it passed on, unless it is more than the hold pays for. Only to ask for a larger hold it takes
 * a promise, as events are many.
 * @returns whether it is the stream's last
 */
function handleEvent(event: StreamEvent, relay: Relay, reader: Reader): boolean | Promise<boolean> {
  const { usage, extender, codec } = relay;
  const { progress, waiting } = reader;
  const reading = readEvent(event, codec, reader.readData);
  // Upstream's words about an error are not passed on; what follows the error is only read for its usage.
  const isSilent = progress.stopReason !== undefined;
  if (reading.kind === 'aside') {
    if (!isSilent) waiting.push(reading.bytes);
    return false;
  }
  reader.watch.heard();
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
  const pass = (isCovered: boolean): boolean => {
    if (!isCovered) progress.stopReason = { kind: 'quota' };
    else if (isLast) progress.lastEvent = bytes.toString();
    else if (codec.shouldForward(chunk)) waiting.push(bytes);
    return isLast;
  };
  const isCovered = extender.hasBudget();
  return typeof isCovered === 'boolean' ? pass(isCovered) : isCovered.then(pass);
}

/** Waits for something else than upstream, whose silence does not count meanwhile. */
async function waitAside<T>(work: Promise<T>, watch: ReadingWatch): Promise<T> {
  watch.pause();
  try {
    return await work;
  } finally {
    watch.resume();
  }
}

/** Writes what is waiting, at once. */
function flush({ client }: Relay, { waiting }: Reader): void | Promise<void> {
  return waiting.length === 0 ? undefined : client.write(joinBytes(waiting.splice(0)));
}

/** Handles the events of a piece; returns whether the stream has come to its end, or has to stop. */
async function handleEvents(
  events: readonly StreamEvent[],
  relay: Relay,
  reader: Reader,
  mustStop: () => boolean,
): Promise<boolean> {
  const { watch } = reader;
  try {
    for (const event of events) {
      let isLast = handleEvent(event, relay, reader);
      if (isLast instanceof Promise) {
        // What is paid for does not wait for what may not be.
        const covered = Promise.all([isLast, flush(relay, reader)]);
        [isLast] = await waitAside(covered, watch);
      }
      if (isLast || mustStop()) return true;
    }
    return false;
  } finally {
    const written = flush(relay, reader);
    if (written !== undefined) await waitAside(written, watch);
  }
}

/** Passes on upstream's events to the end of the stream, or to where it has to stop. */
async function pipeEvents(relay: Relay, reader: Reader): Promise<void> {
  const { client, usage } = relay;
  const { pieces, progress } = reader;
  const scanner = createEventScanner();
  const mustStop = () =>
    progress.stopReason?.kind === 'quota' || (client.isGone() && stopsBilling(usage.origin().provider));

  while (!mustStop()) {
    const next = pieces.next();
    const piece = next instanceof Promise ? await next : next;
    const events = piece === undefined ? scanner.end() : scanner.push(piece);
    if (await handleEvents(events, relay, reader, mustStop)) return;
    if (piece !== undefined) continue;
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
async function drainBody(body: Readable, pieces: Pieces): Promise<void> {
  const timer = setTimeout(() => body.destroy(), DRAIN_MS);
  try {
    while ((await pieces.next()) !== undefined);
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
  abortSignal.addEventListener('abort', stop, { once: true });
  const pieces = createPieces(body);
  let isBroken = false;
  try {
    await pipeEvents(relay, { pieces, readData: createDataReader(codec), watch, progress, waiting: [] });
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
