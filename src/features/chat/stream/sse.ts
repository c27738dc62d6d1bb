/** One event of a `text/event-stream`, with the bytes it came in. */
export interface StreamEvent {
  /** All its bytes, including the blank line at its end: those of all events together are the stream's. */
  readonly raw: Buffer;
  /** Its `data` lines; undefined where it has none, as in comments that only keep the connection open. */
  readonly data: string | undefined;
}

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

/** Longest event in bytes: an image arrives whole in one. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;
const LF = 0x0a;
const CR = 0x0d;

/** Returns the `data` lines of an event, joined. */
function parseData(raw: Buffer): string | undefined {
  const lines = raw
    .toString('utf8')
    .split(/\r\n|\r|\n/)
    .filter((line) => line === 'data' || line.startsWith('data:'))
    .map((line) => line.slice(5).replace(/^ /, ''));
  return lines.length === 0 ? undefined : lines.join('\n');
}

/**
 * Builds a scanner. Lines end with LF, CR or CRLF, and events with an empty line (WHATWG HTML, "Server-sent events",
 * "Interpreting an event stream"); bytes may be cut anywhere, also within a character.
 */
export function createEventScanner(): EventScanner {
  let pieces: Buffer[] = [];
  let length = 0;
  let lineIsEmpty = true;
  let afterCarriageReturn = false;

  const append = (piece: Buffer): void => {
    length += piece.length;
    if (length > MAX_EVENT_BYTES) throw new Error('an event is too long');
    if (piece.length > 0) pieces.push(piece);
  };
  const complete = (): StreamEvent => {
    const raw = Buffer.concat(pieces);
    pieces = [];
    length = 0;
    return { raw, data: parseData(raw) };
  };
  /** Returns whether the byte ends an empty line. */
  const endsEvent = (byte: number): boolean => {
    const isSecondHalf = byte === LF && afterCarriageReturn;
    afterCarriageReturn = byte === CR;
    if (isSecondHalf) return false;
    if (byte !== LF && byte !== CR) {
      lineIsEmpty = false;
      return false;
    }
    const ends = lineIsEmpty;
    lineIsEmpty = true;
    return ends;
  };

  return {
    push: (bytes) => {
      const events: StreamEvent[] = [];
      let start = 0;
      for (let index = 0; index < bytes.length; index += 1) {
        if (!endsEvent(bytes[index] ?? 0)) continue;
        if (bytes[index] === CR && bytes[index + 1] === LF) {
          index += 1;
          afterCarriageReturn = false;
        }
        append(bytes.subarray(start, index + 1));
        start = index + 1;
        events.push(complete());
      }
      append(bytes.subarray(start));
      return events;
    },
    end: () => (length === 0 ? [] : [complete()]),
  };
}

/** Writes one event whose data is JSON. */
export function formatEvent(value: Readonly<Record<string, unknown>>): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
