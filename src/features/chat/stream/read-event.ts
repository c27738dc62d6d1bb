import { ApiError } from '../../../platform/errors.js';
import type { AnswerCodec } from '../codec.js';
import { isFields, parseJson } from '../json-fields.js';
import type { Chunk } from '../metering/usage-accumulator.js';
import { toErrorInBody } from '../openrouter/upstream-error.js';
import { KEEP_ALIVE } from './client-stream.js';
import type { ReadData } from './read-data.js';
import { formatData, PINGS } from './sse.js';
import type { StreamEvent } from './stream-event.js';

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
      readonly isLast: boolean;
    }
  /** An error, or what was not understood; a chunk that is an error may still report usage. */
  | {
      readonly kind: 'fault';
      readonly error: ApiError;
      readonly chunk: Chunk | undefined;
      readonly isLast?: boolean;
    };

/** The comment OpenRouter keeps its connections open with. */
const KNOWN_COMMENT = /^\s*(: ?OPENROUTER PROCESSING\s*)?$/;

function createFault(reason: string): Extract<EventReading, { kind: 'fault' }> {
  const error = new ApiError('UPSTREAM_FAILED', { cause: new Error(`upstream sent ${reason}`) });
  return { kind: 'fault', error, chunk: undefined };
}

/** Returns what is no event: an error, or an answer that came whole, which is billed and not passed on. */
function readForeign(text: string, codec: AnswerCodec): EventReading {
  const body = parseJson(text.replace(/^\uFEFF/, ''));
  if (!isFields(body)) return createFault('what is no event stream');
  const reading = codec.readAnswer(body);
  const fault = createFault('an answer that is no event stream');
  if (reading.kind === 'ping') return fault;
  return reading.kind === 'fault' ? reading : { ...fault, chunk: reading.chunk };
}

function readAside({ raw, name, isForeign }: StreamEvent, codec: AnswerCodec): EventReading {
  const text = raw.toString('utf8');
  if (isForeign) return readForeign(text, codec);
  if (name === 'error') return createFault('an error event');
  if (KNOWN_COMMENT.test(text)) return { kind: 'aside', bytes: raw };
  return { kind: 'aside', bytes: text.startsWith(':') ? KEEP_ALIVE : '' };
}

/** Returns what an event is; its data is read by `readData`. Nothing is to be passed on but its bytes: what was understood. */
export function readEvent(event: StreamEvent, codec: AnswerCodec, readData: ReadData): EventReading {
  const { data, name } = event;
  if (data === undefined) return readAside(event, codec);
  if (codec.isEndMark(data.trim())) return { kind: 'end' };
  if (name !== undefined && PINGS.includes(name)) return { kind: 'aside', bytes: '' };
  // Without data there is no event to those who read the stream (WHATWG HTML, "Server-sent events").
  if (data.trim() === '' && name !== 'error') return { kind: 'aside', bytes: '' };
  const reading = readData(data);
  if (reading?.kind === 'fault') return reading;
  if (name === 'error') return { kind: 'fault', error: toErrorInBody(parseJson(data)), chunk: undefined };
  if (reading === undefined) return createFault('data that is no JSON object');
  if (reading.kind === 'ping') return { kind: 'aside', bytes: '' };
  const { chunk, eventName, isLast = false } = reading;
  const bytes = event.isPlain && eventName === undefined ? event.raw : formatData(data, eventName);
  return { kind: 'chunk', chunk, bytes, isLast };
}
