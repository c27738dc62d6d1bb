import { CR, createLineScanner, LF } from './line-scanner.js';
import { readPlainEvent, type StreamEvent } from './stream-event.js';

/** Cuts a stream of bytes into events. */
export interface EventScanner {
  /**
   * Takes the next bytes and returns the events they complete.
   * @throws where an event is longer than 16 MiB
   */
  readonly push: (bytes: Buffer) => StreamEvent[];
  /** Returns the event the stream ended in without a blank line, if there is one. */
  readonly end: () => StreamEvent[];
}

/** Names of events that only keep a connection open. */
export const PINGS: readonly string[] = ['ping', 'keepalive', 'keep-alive', 'heartbeat'];
/** Longest event in bytes: an image arrives whole in one. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
/** Longest part of a line in bytes that is kept for the rest to come, as it is joined anew with every piece. */
const MAX_CUT_BYTES = 64 * 1024;
/** Most lines of one event that are tried as JSON before its end: each line tries all of them. */
const MAX_TRIED_LINES = 64;

/** Returns the values of a field, with the space removed that may follow its colon. */
function readField(lines: readonly string[], name: string): string[] {
  return lines
    .filter((line) => line === name || line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).replace(/^ /, ''));
}

function parseEvent(raw: Buffer): StreamEvent {
  const text = raw.toString('utf8');
  const lines = text
    .split(/\r\n|\r|\n/)
    .map((line) => line.replace(/^\uFEFF/, ''))
    .filter((line) => line !== '');
  const data = readField(lines, 'data');
  return {
    raw,
    data: data.length === 0 ? undefined : data.join('\n'),
    name: readField(lines, 'event').at(-1),
    isPlain: lines.length === data.length && !text.startsWith('\uFEFF'),
    isForeign: lines.some((line) => !/^(:|(data|event|id|retry)(:|$))/.test(line)),
  };
}

/** Returns whether data needs no blank line to be known as complete: a JSON object, or the mark at a stream's end. */
function isCompleteData(data: string): boolean {
  const text = data.trim();
  if (text === '[DONE]') return true;
  if (!text.startsWith('{') || !text.endsWith('}')) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Builds a scanner. Lines end with LF, CR or CRLF, and events with an empty line (WHATWG HTML, "Server-sent events",
 * "Interpreting an event stream"); bytes may be cut anywhere, also within a character. Upstreams forget the empty line:
 * an event whose data is complete JSON ends with its line, and does not wait for the next one.
 */
export function createEventScanner(): EventScanner {
  let pieces: Buffer[] = [];
  let length = 0;
  let lineCount = 0;
  /** Whether an event has ended without its blank line, which then may still come. */
  let isBlankLineDue = false;

  const append = (piece: Buffer): void => {
    length += piece.length;
    if (length > MAX_EVENT_BYTES) throw new Error('an event is too long');
    if (piece.length > 0) pieces.push(piece);
  };
  const take = (): Buffer => {
    const raw = Buffer.concat(pieces);
    pieces = [];
    length = 0;
    lineCount = 0;
    return raw;
  };
  /** Returns the event the lines so far are, if they need no blank line to be one. */
  const takeEarly = (terminator: Buffer): StreamEvent[] => {
    if (lineCount > MAX_TRIED_LINES) return [];
    const event = parseEvent(Buffer.concat(pieces));
    if (event.data === undefined || !isCompleteData(event.data)) return [];
    isBlankLineDue = true;
    return [{ ...event, raw: Buffer.concat([take(), terminator]) }];
  };

  const lines = createLineScanner<StreamEvent>({
    onBytes: append,
    onBlankLine: (terminator) => {
      if (isBlankLineDue) {
        isBlankLineDue = false;
        return [];
      }
      append(terminator);
      return [parseEvent(take())];
    },
    onLine: (terminator, isBlankLineNext) => {
      isBlankLineDue = false;
      append(terminator);
      lineCount += 1;
      return isBlankLineNext ? [] : takeEarly(terminator);
    },
  });
  /** The beginning of a line at the end of the last piece, as pieces are cut anywhere. */
  let cut: Buffer | undefined;
  const isBetweenEvents = () => length === 0 && lines.isAtLineStart();
  /** Reads the plain events at the beginning of a piece; returns where something else begins. */
  const readPlainEvents = (bytes: Buffer, events: StreamEvent[]): number => {
    let start = 0;
    if (isBlankLineDue && bytes[0] === LF) {
      isBlankLineDue = false;
      start = 1;
    }
    while (!isBlankLineDue && start < bytes.length) {
      const event = readPlainEvent(bytes, start);
      if (event === undefined) return start;
      events.push(event);
      start += event.raw.length;
    }
    return start;
  };
  const isWithinLine = (rest: Buffer) => rest.length <= MAX_CUT_BYTES && !rest.includes(LF) && !rest.includes(CR);

  return {
    push: (piece) => {
      const bytes = cut === undefined ? piece : Buffer.concat([cut, piece]);
      cut = undefined;
      const events: StreamEvent[] = [];
      const start = isBetweenEvents() ? readPlainEvents(bytes, events) : 0;
      if (start === bytes.length) return events;
      const rest = bytes.subarray(start);
      if (isBetweenEvents() && isWithinLine(rest)) cut = rest;
      else events.push(...lines.push(rest));
      return events;
    },
    end: () => {
      const events = [...(cut === undefined ? [] : lines.push(cut)), ...lines.end()];
      return length === 0 ? events : [...events, parseEvent(take())];
    },
  };
}

/** Writes one event whose data is JSON. */
export function formatEvent(value: Readonly<Record<string, unknown>>): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** Writes one event with the data it had, and with a name or without one, but none of its other lines. */
export function formatData(data: string, name?: string): string {
  const head = name === undefined ? '' : `event: ${name}\n`;
  return `${head}${data
    .split('\n')
    .map((line) => `data: ${line}`)
    .join('\n')}\n\n`;
}
