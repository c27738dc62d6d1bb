import { LF } from './line-scanner.js';

/** One event of a `text/event-stream`, with the bytes it came in. */
export interface StreamEvent {
  /** All its bytes, including the blank line at its end, which is supplied where upstream forgot it. */
  readonly raw: Buffer;
  /** Its `data` lines; undefined where it has none, as in comments that only keep the connection open. */
  readonly data: string | undefined;
  /** Its `event` field; undefined where it has none. */
  readonly name: string | undefined;
  /** Whether it consists of `data` lines only, without a byte order mark. */
  readonly isPlain: boolean;
  /** Whether it has lines that are no part of an event stream, such as those of an HTML page. */
  readonly isForeign: boolean;
}

const FIRST_OF_EVENT = 'e'.charCodeAt(0);
/** The beginning of an event with a name before its data. */
const NAMED = /^event: ?(.*)\n/;
const DATA = 'data:';

/**
 * Returns the event that begins at a place, where all of it is there and it is as nearly all events are: one line of data,
 * perhaps one with a name before it, and a blank line; undefined for any other, which takes a closer look.
 */
export function readPlainEvent(bytes: Buffer, start: number): StreamEvent | undefined {
  const isNamed = bytes[start] === FIRST_OF_EVENT;
  const first = bytes.indexOf(LF, start);
  const last = first !== -1 && isNamed ? bytes.indexOf(LF, first + 1) : first;
  if (last === -1 || bytes[last + 1] !== LF) return undefined;
  const end = last + 2;
  const text = bytes.toString('utf8', start, end);
  if (text.includes('\r')) return undefined;
  const [head = '', name] = isNamed ? (NAMED.exec(text) ?? []) : [];
  if (!text.startsWith(DATA, head.length)) return undefined;
  const value = head.length + DATA.length;
  const data = text.slice(text[value] === ' ' ? value + 1 : value, -2);
  return { raw: bytes.subarray(start, end), data, name, isPlain: !isNamed, isForeign: false };
}
