import type { TokenCounter } from './token-counter.js';

/** Text is handed to the counter whenever this much of it has come together, so that no answer is kept whole. */
const KEPT_CHARACTERS = 32_768;
/** Bytes of text a token has on average in English, and hardly ever more than. */
const USUAL_BYTES = 4;
const MOST_BYTES = 8;

/** A run of text that is not counted yet. */
interface Piece {
  chunks: number;
  bytes: number;
}

/** Measures the text of an answer while it comes. */
export interface TextMeter {
  readonly add: (text: string) => void;
  /** Tokens so far: what was counted already, and the rest roughly; a chunk is a token at least. */
  readonly roughly: () => number;
  /** Tokens so far: what was counted already, and the rest at the very least. */
  readonly atLeast: () => number;
  /** Counts what was not counted yet. Where even counting fails, a rough estimate is better than nothing. */
  readonly count: () => Promise<number>;
}

export function createTextMeter(counter: TokenCounter): TextMeter {
  let counted = 0;
  let text: string[] = [];
  let characters = 0;
  let latest: Piece = { chunks: 0, bytes: 0 };
  const uncounted = new Set<Piece>([latest]);
  const counts = new Set<Promise<void>>();

  const total = (estimate: (piece: Piece) => number): number =>
    [...uncounted].reduce((sum, piece) => sum + estimate(piece), counted);
  const roughly = () => total(({ chunks, bytes }) => Math.max(chunks, Math.ceil(bytes / USUAL_BYTES)));

  const countLatest = () => {
    const piece = latest;
    // Joined, as words may be cut anywhere.
    const count = counter.count([text.join('')]).then(
      (tokens) => {
        counted += tokens;
        uncounted.delete(piece);
      },
      () => {},
    );
    counts.add(count);
    void count.then(() => counts.delete(count));
    text = [];
    characters = 0;
    latest = { chunks: 0, bytes: 0 };
    uncounted.add(latest);
  };

  return {
    roughly,
    atLeast: () => total(({ bytes }) => Math.ceil(bytes / MOST_BYTES)),
    add: (added) => {
      latest.chunks += 1;
      latest.bytes += Buffer.byteLength(added);
      text.push(added);
      characters += added.length;
      if (characters >= KEPT_CHARACTERS) countLatest();
    },
    count: async () => {
      if (characters > 0) countLatest();
      await Promise.all(counts);
      return roughly();
    },
  };
}
