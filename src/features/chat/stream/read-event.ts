import { ApiError } from '../../../platform/errors.js';
import type { Chunk } from '../metering/usage-accumulator.js';
import { findFault } from '../openrouter/chunk-faults.js';
import { toErrorInBody } from '../openrouter/upstream-error.js';
import { KEEP_ALIVE } from './client-stream.js';
import { formatData, type StreamEvent } from './sse.js';

/** How a wire format reads what upstream sends. */
export interface ChunkDecoder {
  /** Returns whether an event's data is the mark that ends a stream. */
  readonly isEndMark: (data: string) => boolean;
  /** Reads an event's data; undefined for what is no chunk. */
  readonly parseChunk: (data: string) => Chunk | undefined;
}

/** What an event of upstream's turned out to be. */
export type EventReading =
  /** The mark at the end of the stream. */
  | { readonly kind: 'end' }
  /** Nothing of the answer; `bytes` may be passed on. */
  | { readonly kind: 'aside'; readonly bytes: Buffer | string }
  /** A part of the answer, to be passed on as `bytes`. */
  | {
      readonly kind: 'chunk';
      readonly chunk: Chunk;
      readonly bytes: Buffer | string;
    }
  /** An error, or what was not understood; a chunk that is an error may still report usage. */
  | { readonly kind: 'fault'; readonly error: ApiError; readonly chunk: Chunk | undefined };

/** The comment OpenRouter keeps its connections open with. */
const KNOWN_COMMENT = /^\s*(: ?OPENROUTER PROCESSING\s*)?$/;
/** Events that keep other providers' connections open. */
const PINGS: readonly string[] = ['ping', 'keepalive', 'keep-alive', 'heartbeat'];

function createFault(reason: string): EventReading {
  const error = new ApiError('UPSTREAM_FAILED', { cause: new Error(`upstream sent ${reason}`) });
  return { kind: 'fault', error, chunk: undefined };
}

/** Returns a JSON value; undefined where the text is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readAside({ raw, name, isForeign }: StreamEvent): EventReading {
  const text = raw.toString('utf8');
  if (isForeign) {
    const body = parseJson(text);
    return body === undefined
      ? createFault('what is no event stream')
      : { kind: 'fault', error: toErrorInBody(body), chunk: undefined };
  }
  if (name === 'error') return createFault('an error event');
  if (KNOWN_COMMENT.test(text)) return { kind: 'aside', bytes: raw };
  return { kind: 'aside', bytes: text.startsWith(':') ? KEEP_ALIVE : '' };
}

/** Returns what an event is. Nothing is to be passed on but its bytes: what was understood. */
export function readEvent(event: StreamEvent, format: ChunkDecoder): EventReading {
  const { data, name } = event;
  if (data === undefined) return readAside(event);
  if (format.isEndMark(data.trim())) return { kind: 'end' };
  if (name !== undefined && PINGS.includes(name)) return { kind: 'aside', bytes: '' };
  // Without data there is no event to those who read the stream (WHATWG HTML, "Server-sent events").
  if (data.trim() === '' && name !== 'error') return { kind: 'aside', bytes: '' };
  const chunk = format.parseChunk(data);
  if (name === 'error') {
    return { kind: 'fault', error: toErrorInBody(parseJson(data)), chunk: chunk?.isError ? chunk : undefined };
  }
  if (chunk === undefined) return createFault('data that is no JSON object');
  const fault = findFault(data, chunk, PINGS);
  if (fault === 'ping') return { kind: 'aside', bytes: '' };
  if (fault === 'error') return { kind: 'fault', error: toErrorInBody(parseJson(data)), chunk };
  if (fault === 'foreign') return { kind: 'fault', error: toErrorInBody(parseJson(data)), chunk: undefined };
  return { kind: 'chunk', chunk, bytes: event.isPlain ? event.raw : formatData(data) };
}
