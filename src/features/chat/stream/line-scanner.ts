export const LF = 0x0a;
export const CR = 0x0d;

/** What is done with the lines of a stream; each returns what the line completes. */
export interface LineHandlers<T> {
  /** Takes bytes within a line. */
  readonly onBytes: (bytes: Buffer) => void;
  /** Takes the end of a line with something in it. */
  readonly onLine: (terminator: Buffer, isBlankLineNext: boolean) => readonly T[];
  /** Takes the end of an empty line. */
  readonly onBlankLine: (terminator: Buffer) => readonly T[];
}

export interface LineScanner<T> {
  readonly push: (bytes: Buffer) => T[];
  readonly end: () => T[];
  /** Returns whether the next byte begins a line, whatever it is. */
  readonly isAtLineStart: () => boolean;
}

const isTerminator = (byte: number | undefined) => byte === LF || byte === CR;

/**
 * Builds a scanner of lines that end with LF, CR or CRLF; bytes may be cut anywhere. A CR at the end of what has come
 * waits for the next byte where its line has something in it, as a LF would belong to it.
 */
export function createLineScanner<T>({ onBytes, onLine, onBlankLine }: LineHandlers<T>): LineScanner<T> {
  let isEmpty = true;
  let isCarriageReturnOpen = false;

  const endLine = (terminator: Buffer, next: number | undefined): readonly T[] => {
    const wasEmpty = isEmpty;
    isEmpty = true;
    return wasEmpty ? onBlankLine(terminator) : onLine(terminator, isTerminator(next));
  };

  return {
    isAtLineStart: () => isEmpty && !isCarriageReturnOpen,
    push: (given) => {
      const bytes = isCarriageReturnOpen ? Buffer.concat([Buffer.from([CR]), given]) : given;
      isCarriageReturnOpen = false;
      const results: T[] = [];
      let start = 0;
      for (let index = 0; index < bytes.length; index += 1) {
        if (!isTerminator(bytes[index])) {
          isEmpty = false;
          continue;
        }
        if (bytes[index] === CR && index + 1 === bytes.length) {
          onBytes(bytes.subarray(start, index));
          isCarriageReturnOpen = true;
          return results;
        }
        const end = bytes[index] === CR && bytes[index + 1] === LF ? index + 2 : index + 1;
        onBytes(bytes.subarray(start, index));
        results.push(...endLine(bytes.subarray(index, end), bytes[end]));
        start = end;
        index = end - 1;
      }
      onBytes(bytes.subarray(start));
      return results;
    },
    end: () => {
      if (!isCarriageReturnOpen) return [];
      isCarriageReturnOpen = false;
      return [...endLine(Buffer.from([CR]), undefined)];
    },
  };
}
