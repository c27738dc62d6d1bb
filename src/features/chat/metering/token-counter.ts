import { Piscina } from 'piscina';

/** Counts the tokens of texts. */
export interface TokenCounter {
  readonly count: (texts: readonly string[]) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** How long the thread is kept with nothing to count. */
const IDLE_MS = 60_000;

/**
 * Builds the counter for what upstream does not count: an estimate, as every model has a tokenizer of its own. It works
 * in a thread that is started when it is needed, so that streams go on meanwhile.
 */
export function createTokenCounter(): TokenCounter {
  const pool = new Piscina<readonly string[], number>({
    filename: new URL('./token-counter-worker.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: IDLE_MS,
  });
  return { count: (texts) => pool.run(texts), close: () => pool.destroy() };
}
