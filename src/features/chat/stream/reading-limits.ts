import { createSilenceLimit, type SilenceLimit } from './silence-limit.js';

/** How long an answer of upstream's may take where it does not end by itself. */
export interface ReadingLimits {
  /** Longest time in which nothing of the answer comes, in milliseconds; comments are nothing. */
  readonly silenceMs: number;
  /** Longest time an answer is read on once its client has gone, in milliseconds. */
  readonly abandonedMs: number;
}

/** An answer may be read on after its client has gone for as many times its longest silence. */
const ABANDONED_SILENCES = 5;

export function createReadingLimits(silenceMs: number): ReadingLimits {
  return { silenceMs, abandonedMs: silenceMs * ABANDONED_SILENCES };
}

/** The limits of one answer under way. */
export interface ReadingWatch extends SilenceLimit {
  /** Tells that the client has gone. */
  readonly abandon: () => void;
}

/**
 * Watches over the limits of one answer.
 * @param onLimit takes what went wrong, once
 */
export function watchReading({ silenceMs, abandonedMs }: ReadingLimits, onLimit: (cause: Error) => void): ReadingWatch {
  const silence = createSilenceLimit(silenceMs, () => onLimit(new Error('upstream was silent for too long')));
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  return {
    ...silence,
    abandon: () => {
      if (isOver) return;
      timer ??= setTimeout(() => onLimit(new Error('upstream did not end after the client had gone')), abandonedMs);
    },
    stop: () => {
      isOver = true;
      silence.stop();
      clearTimeout(timer);
    },
  };
}
