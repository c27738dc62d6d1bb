import { Piscina } from 'piscina';

/** How long the worker thread is kept with nothing to count. */
const IDLE_TIMEOUT_MS = 60_000;
/** Text is handed to the counter whenever this much of it has come together, so that no answer is kept whole. */
const MAX_BUFFERED_CHARACTERS = 32_768;
/** Bytes of a token in English text: on average, and hardly ever exceeded. */
export const AVERAGE_TOKEN_BYTES = 4;
const MAX_TOKEN_BYTES = 8;

/** Counts the tokens of texts. */
export interface TokenCounter {
  readonly count: (texts: readonly string[]) => Promise<number>;
  readonly close: () => Promise<void>;
}

/**
 * Builds the counter for what upstream does not count: an estimate, as every model has a tokenizer of its own. It works
 * in a thread that starts when it is needed, so that streams go on meanwhile.
 */
export function createTokenCounter(): TokenCounter {
  const pool = new Piscina<readonly string[], number>({
    filename: new URL('./token-counter-worker.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: IDLE_TIMEOUT_MS,
  });
  return { count: (texts) => pool.run(texts), close: () => pool.destroy() };
}

/** A run of text that is not counted yet. */
interface Segment {
  chunks: number;
  bytes: number;
}

const estimateSegment = ({ chunks, bytes }: Segment) => Math.max(chunks, Math.ceil(bytes / AVERAGE_TOKEN_BYTES));
const leastOfSegment = ({ bytes }: Segment) => Math.ceil(bytes / MAX_TOKEN_BYTES);

/** Measures the text of an answer while it comes. */
export interface TextMeter {
  readonly add: (text: string) => void;
  /** Returns the bytes so far. */
  readonly bytes: () => number;
  /** Returns the tokens so far: those counted already, and the rest by its length; a chunk is at least one token. */
  readonly estimate: () => number;
  /** Returns the tokens so far: those counted already, and the fewest the rest can be. */
  readonly lowerBound: () => number;
  /** Counts what is not counted yet, and returns all tokens. Where counting fails, the estimate stands in. */
  readonly exact: () => Promise<number>;
}

/** Builds the meter of one answer's text. */
export function createTextMeter(counter: TokenCounter): TextMeter {
  let counted = 0;
  let buffer: string[] = [];
  let characters = 0;
  let totalBytes = 0;
  let latest: Segment = { chunks: 0, bytes: 0 };
  /** Sums over what is handed to the counter and not counted yet: they are asked for with every chunk. */
  let handedEstimate = 0;
  let handedLeast = 0;
  const counts = new Set<Promise<void>>();

  const estimate = () => counted + handedEstimate + estimateSegment(latest);

  const countBuffer = () => {
    const [estimated, least] = [estimateSegment(latest), leastOfSegment(latest)];
    handedEstimate += estimated;
    handedLeast += least;
    // Joined, as words may be cut anywhere.
    const count = counter.count([buffer.join('')]).then(
      (tokens) => {
        counted += tokens;
        handedEstimate -= estimated;
        handedLeast -= least;
      },
      () => {},
    );
    counts.add(count);
    void count.then(() => counts.delete(count));
    buffer = [];
    characters = 0;
    latest = { chunks: 0, bytes: 0 };
  };

  return {
    bytes: () => totalBytes,
    estimate,
    lowerBound: () => counted + handedLeast + leastOfSegment(latest),
    add: (text) => {
      latest.chunks += 1;
      const bytes = Buffer.byteLength(text);
      latest.bytes += bytes;
      totalBytes += bytes;
      buffer.push(text);
      characters += text.length;
      if (characters >= MAX_BUFFERED_CHARACTERS) countBuffer();
    },
    exact: async () => {
      if (characters > 0) countBuffer();
      await Promise.all(counts);
      return estimate();
    },
  };
}
