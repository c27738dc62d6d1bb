import { LF } from './line-scanner.js';
import type { StreamEvent } from './sse.js';

const FIRST_OF_EVENT = 'e'.charCodeAt(0);
/** One line of data, perhaps one with a name before it, and a blank line. A CR, or a line with anything else, is no match. */
const PLAIN_EVENT = /^(?:event: ?(.*)\n)?data: ?(.*)\n\n$/;

/**
 * Returns the event that begins at a place, where all of it is there and it is as nearly all events are; undefined for any
 * other, which takes a closer look.
 */
export function readPlainEvent(bytes: Buffer, start: number): StreamEvent | undefined {
  const first = bytes.indexOf(LF, start);
  const last = first !== -1 && bytes[start] === FIRST_OF_EVENT ? bytes.indexOf(LF, first + 1) : first;
  if (last === -1 || bytes[last + 1] !== LF) return undefined;
  const end = last + 2;
  const match = PLAIN_EVENT.exec(bytes.toString('utf8', start, end));
  if (match === null) return undefined;
  const [, name, data] = match;
  return { raw: bytes.subarray(start, end), data, name, isPlain: name === undefined, isForeign: false };
}
