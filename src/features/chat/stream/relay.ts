import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { DatabaseError } from '../../../platform/database/client/database-error.js';
import { ApiError, toApiError } from '../../../platform/errors.js';
import type { Hold, Settlement, UsageReport } from '../metering/chat-meter.js';
import type { HoldExtender } from '../metering/hold-extender.js';
import { type Settle, ZERO_USAGE } from '../metering/settlement.js';
import type { Chunk, UsageAccumulator } from '../metering/usage-accumulator.js';
import { stopsBilling } from '../openrouter/upstream.js';
import type { ClientStream } from './client-stream.js';
import { createEventScanner, type StreamEvent } from './sse.js';

/** Why a stream stopped before its own end. */
export type StopReason = { readonly kind: 'fault'; readonly error: ApiError } | { readonly kind: 'quota' };

/** How a stream ended, and what it came to. */
export interface StreamEnd {
  readonly stopReason: StopReason | undefined;
  readonly report: UsageReport;
  /** Undefined where settling takes too long. */
  readonly settlement: Settlement | undefined;
}

/** What a wire format reads in upstream's stream, and what it writes of its own. */
export interface StreamFormat {
  /** Returns whether an event's data is the mark that ends a stream. */
  readonly isEndMark: (data: string) => boolean;
  /** Reads an event's data; undefined for what is no chunk. */
  readonly parseChunk: (data: string) => Chunk | undefined;
  readonly shouldForward: (chunk: Chunk) => boolean;
  /** Returns the events that follow upstream's chunks, including the end mark. */
  readonly finalEvents: (end: StreamEnd) => string;
}

/** An answer upstream has begun, and what settling it takes. */
export interface Answer {
  readonly hold: Hold;
  /** An event stream, or JSON. */
  readonly body: Readable;
  readonly usage: UsageAccumulator;
  readonly format: StreamFormat;
  readonly settle: Settle;
  /** Aborts when the answer has to end at once. */
  readonly abortSignal: AbortSignal;
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

/**
 * Counts one event and passes it on, unless it is more than the hold pays for; returns why the stream may not go on, if
 * so.
 */
async function handleEvent(event: StreamEvent, relay: Relay, hasFailed: boolean): Promise<StopReason | undefined> {
  const { client, usage, extender, format } = relay;
  const chunk = event.data === undefined ? undefined : format.parseChunk(event.data);
  if (chunk !== undefined) usage.observe(chunk);
  // Upstream's words about an error are not passed on; what follows the error is only read for its usage.
  if (chunk?.isError) return { kind: 'fault', error: new ApiError('UPSTREAM_FAILED') };
  if (hasFailed) return undefined;
  if (!(await extender.hasBudget())) return { kind: 'quota' };
  if (chunk === undefined || format.shouldForward(chunk)) await client.write(event.raw);
  return undefined;
}

/** Passes on upstream's events to the end of the stream, or to where it has to stop. */
async function pipeEvents(relay: Relay, pieces: AsyncIterator<Buffer>): Promise<StopReason | undefined> {
  const { client, usage, format } = relay;
  const scanner = createEventScanner();
  let reason: StopReason | undefined;
  const mustStop = () => reason?.kind === 'quota' || (client.isGone() && stopsBilling(usage.origin().provider));

  for (let isOver = false; !isOver && !mustStop(); ) {
    const { done, value } = await pieces.next();
    const events = done ? scanner.end() : scanner.push(value);
    isOver = done === true;
    for (const event of events) {
      if (event.data !== undefined && format.isEndMark(event.data)) {
        usage.complete();
        return reason;
      }
      const next = await handleEvent(event, relay, reason !== undefined);
      reason ??= next;
      if (mustStop()) break;
    }
    // The stream was cut off within an event, and what follows must not run into it.
    if (isOver && events.length > 0) await client.write('\n\n');
  }
  return reason;
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

/** Reads upstream's stream for as long as it lasts and may; returns why it stopped early, if so. */
async function readStream(relay: Relay): Promise<StopReason | undefined> {
  const { body, client, usage, abortSignal } = relay;
  const stop = () => body.destroy();
  client.onGone(() => {
    if (stopsBilling(usage.origin().provider)) stop();
  });
  abortSignal.addEventListener('abort', stop, { once: true });
  const pieces: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  let reason: StopReason | undefined;
  let isComplete = false;
  try {
    reason = await pipeEvents(relay, pieces);
    isComplete = reason === undefined && !client.isGone();
  } catch (error) {
    if (!client.isGone() || abortSignal.aborted) reason = { kind: 'fault', error: toStreamError(error) };
  } finally {
    abortSignal.removeEventListener('abort', stop);
    body.on('error', () => {});
    if (isComplete) void drainBody(body, pieces);
    else body.destroy();
  }
  return abortSignal.aborted && !isComplete ? { kind: 'fault', error: new ApiError('SERVER_STOPPING') } : reason;
}

/**
 * Passes a stream on, event by event as the client takes them, and settles its hold. However it ends, it is settled with
 * upstream's own count or with an estimate of what came; a stream that brought nothing is not billed.
 */
export async function relayStream(relay: Relay): Promise<void> {
  const { client, usage, extender, format, hold, log } = relay;
  const stopReason = await readStream(relay);
  extender.stop();
  if (stopReason?.kind === 'fault') {
    log.warn({ err: stopReason.error.cause ?? stopReason.error }, 'a stream did not end well');
  }
  const report = usage.isBillable() ? await usage.report(extender.heldTokens()) : ZERO_USAGE;
  try {
    const settlement = await relay.settle(hold.id, report);
    await client.write(format.finalEvents({ stopReason, report, settlement }));
  } catch (error) {
    log.error({ err: error }, 'a stream is not settled yet');
    const fault: StopReason = { kind: 'fault', error: toStreamError(error) };
    await client.write(format.finalEvents({ stopReason: fault, report, settlement: undefined }));
  } finally {
    client.end();
  }
}
