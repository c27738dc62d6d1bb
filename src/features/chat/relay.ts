import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { ApiError, toApiError } from '../../platform/errors.js';
import type { Allowance } from './allowance.js';
import { stopsBilling } from './cancellation.js';
import type { Bill, Hold, Settlement } from './chat-meter.js';
import { type ChunkFacts, factsOf } from './chunk.js';
import { createEventScanner, type StreamEvent } from './event-stream.js';
import type { Reader } from './reader.js';
import { NOTHING, type Settler } from './settler.js';
import type { Tally } from './tally.js';

/** How a stream ended before its own end. */
export type Ending = { readonly kind: 'fault'; readonly error: ApiError } | { readonly kind: 'quota' };

/** What a door writes of its own into a stream. */
export interface StreamStyle {
  /** Whether a chunk is passed on. */
  readonly passes: (facts: ChunkFacts) => boolean;
  /** What follows upstream's chunks, `[DONE]` included; there is no settlement where settling takes too long. */
  readonly closing: (ending: Ending | undefined, bill: Bill, settlement: Settlement | undefined) => string;
}

/** A stream to be passed on. */
export interface Relay {
  readonly hold: Hold;
  readonly body: Readable;
  readonly reader: Reader;
  readonly tally: Tally;
  readonly allowance: Allowance;
  readonly style: StreamStyle;
  readonly settle: Settler;
  /** Aborted when the stream has to end at once. */
  readonly cutOff: AbortSignal;
  readonly log: FastifyBaseLogger;
}

const DONE = '[DONE]';
/** How long upstream may take to end its stream after it said that it has, for its connection to be used again. */
const FAREWELL_MS = 1_000;

function faultOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return error instanceof DatabaseError ? toApiError(error) : new ApiError('UPSTREAM_FAILED', { cause: error });
}

/** Takes one event: counts it, passes it on, and finds out whether the stream may go on. */
async function take(event: StreamEvent, relay: Relay, hasFailed: boolean): Promise<Ending | undefined> {
  const facts = event.data === undefined ? undefined : factsOf(event.data);
  if (facts !== undefined) relay.tally.observe(facts);
  // Upstream's words about an error are not passed on; what comes after it is only read for its usage.
  if (facts?.isError) return { kind: 'fault', error: new ApiError('UPSTREAM_FAILED') };
  if (hasFailed) return undefined;
  if (facts === undefined || relay.style.passes(facts)) await relay.reader.write(event.raw);
  return (await relay.allowance.covers()) ? undefined : { kind: 'quota' };
}

/** Reads upstream to the end of its stream, or to where it has to stop. */
async function pump(relay: Relay, chunks: AsyncIterator<Buffer>): Promise<Ending | undefined> {
  const { reader, tally } = relay;
  const scanner = createEventScanner();
  let ending: Ending | undefined;
  const shallStop = () => ending?.kind === 'quota' || (reader.isGone() && stopsBilling(tally.origin().provider));

  for (let isOver = false; !isOver && !shallStop(); ) {
    const { done, value } = await chunks.next();
    const events = done ? scanner.end() : scanner.push(value);
    isOver = done === true;
    for (const event of events) {
      if (event.data === DONE) return ending;
      const next = await take(event, relay, ending !== undefined);
      ending ??= next;
      if (shallStop()) break;
    }
    // A stream that was cut off within an event: what follows must not run into it.
    if (isOver && events.length > 0) await reader.write('\n\n');
  }
  return ending;
}

/** Reads what a stream that is over still brings, so that its connection can be used again. */
async function bidFarewell(body: Readable, chunks: AsyncIterator<Buffer>): Promise<void> {
  const timer = setTimeout(() => body.destroy(), FAREWELL_MS);
  try {
    while (!(await chunks.next()).done);
  } catch {
    body.destroy();
  } finally {
    clearTimeout(timer);
  }
}

async function read(relay: Relay): Promise<Ending | undefined> {
  const { body, reader, tally, cutOff } = relay;
  const stopWhenGone = () => {
    if (stopsBilling(tally.origin().provider)) body.destroy();
  };
  const stop = () => body.destroy();
  reader.onGone(stopWhenGone);
  cutOff.addEventListener('abort', stop, { once: true });
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  let ending: Ending | undefined;
  let isOver = false;
  try {
    ending = await pump(relay, chunks);
    isOver = ending === undefined && !reader.isGone();
  } catch (error) {
    if (!reader.isGone() || cutOff.aborted) ending = { kind: 'fault', error: faultOf(error) };
  } finally {
    cutOff.removeEventListener('abort', stop);
    body.on('error', () => {});
    if (isOver) void bidFarewell(body, chunks);
    else body.destroy();
  }
  return cutOff.aborted && !isOver ? { kind: 'fault', error: new ApiError('SERVER_STOPPING') } : ending;
}

/**
 * Passes a stream on, chunk by chunk as the reader takes them, and settles its hold. Every way it may end, it is settled
 * with upstream's own count, or with what came of it; what never began is not billed.
 */
export async function relayStream(relay: Relay): Promise<void> {
  const { reader, tally, allowance, style, hold, log } = relay;
  const ending = await read(relay);
  allowance.end();
  if (ending?.kind === 'fault') log.warn({ err: ending.error.cause ?? ending.error }, 'a stream did not end well');
  const bill = tally.hasBegun() ? await tally.bill() : NOTHING;
  try {
    const settlement = await relay.settle(hold.id, bill);
    await reader.write(style.closing(ending, bill, settlement));
  } catch (error) {
    log.error({ err: error }, 'a stream is not settled yet');
    await reader.write(style.closing({ kind: 'fault', error: faultOf(error) }, bill, undefined));
  } finally {
    reader.end();
  }
}
