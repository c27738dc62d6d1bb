import { ApiError } from '../../../platform/errors.js';
import type { StopReason } from '../codec.js';
import { stopsBilling } from '../openrouter/upstream.js';
import type { Relay } from './answer.js';
import { joinBytes } from './join-bytes.js';
import type { ReadData } from './read-data.js';
import { readEvent } from './read-event.js';
import type { ReadingWatch } from './reading-limits.js';
import { createEventScanner } from './sse.js';
import type { StreamEvent } from './stream-event.js';

/** How far a stream has come. */
export interface Progress {
  stopReason: StopReason | undefined;
  /** Whether upstream has said that the answer is complete. */
  isFinished: boolean;
  /** The event that ended the stream, kept back until the answer is settled; empty where there was none. */
  lastEvent: string;
}

/** What reading one stream takes. */
export interface Reader {
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

/**
 * Handles the events of a piece; only where the client is slow or a larger hold is asked for it takes a promise.
 * @param first where to begin among them
 * @returns whether the stream has come to its end, or has to stop
 */
function handleEvents(
  events: readonly StreamEvent[],
  relay: Relay,
  reader: Reader,
  first = 0,
): boolean | Promise<boolean> {
  let isOver = false;
  try {
    for (let index = first; index < events.length && !isOver; index += 1) {
      const event = events[index];
      const isLast = event !== undefined && handleEvent(event, relay, reader);
      if (typeof isLast !== 'boolean') return goOnAfter(isLast, events, relay, reader, index + 1);
      isOver = isLast || mustStop(relay, reader);
    }
  } catch (error) {
    void flush(relay, reader);
    throw error;
  }
  const written = flush(relay, reader);
  return written === undefined ? isOver : waitAside(written, reader.watch).then(() => isOver);
}

/** Handles the rest of some events once it is known whether the hold pays for one of them. */
async function goOnAfter(
  isLast: Promise<boolean>,
  events: readonly StreamEvent[],
  relay: Relay,
  reader: Reader,
  next: number,
): Promise<boolean> {
  // What is paid for does not wait for what may not be.
  const covered = Promise.all([isLast, flush(relay, reader)]);
  const [isOver] = await waitAside(covered, reader.watch);
  if (!isOver && !mustStop(relay, reader)) return handleEvents(events, relay, reader, next);
  const written = flush(relay, reader);
  if (written !== undefined) await waitAside(written, reader.watch);
  return true;
}

function mustStop({ client, usage }: Relay, { progress }: Reader): boolean {
  return progress.stopReason?.kind === 'quota' || (client.isGone() && stopsBilling(usage.origin().provider));
}

function createCutError(): ApiError {
  return new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream ended a stream without its end mark') });
}

/** Passes on upstream's events to the end of the stream, or to where it has to stop. */
export async function passEvents(relay: Relay, reader: Reader): Promise<void> {
  const { body, client } = relay;
  const { progress } = reader;
  const scanner = createEventScanner();
  const hasEnded = await body.read(
    (piece) => mustStop(relay, reader) || handleEvents(scanner.push(piece), relay, reader),
  );
  if (!hasEnded || mustStop(relay, reader)) return;
  const events = scanner.end();
  if (await handleEvents(events, relay, reader)) return;
  // The stream was cut off within an event, and what follows must not run into it.
  if (events.length > 0) await client.write('\n\n');
  if (!progress.isFinished) progress.stopReason ??= { kind: 'fault', error: createCutError() };
}
