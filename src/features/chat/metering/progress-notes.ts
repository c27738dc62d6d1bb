import type { Progress } from './chat-meter.js';

/** When a stream is noted first, and how often from then on where it is slow. */
const FIRST_NOTE_MS = 1_000;
const NOTE_MS = 10_000;
/** A stream that does not move is noted all the same: its hold would expire. */
const RENEWAL_MS = 60_000;
/** Tokens that may pass without being noted, unless they pass within a second. */
const NOTE_TOKENS = 512;
const MIN_SPACING_MS = 1_000;

/** Sends a note; what it resolves to is for whoever takes it along. */
type Send<Result> = (progress: Progress) => Promise<Result>;

/**
 * Notes how far a stream has come, so that little is at stake for anybody when this process dies: as soon as upstream
 * has named it, after a second, and then every ten seconds or {@link NOTE_TOKENS} tokens.
 */
export interface ProgressNotes {
  /** Takes notice of what has come, which may be worth a note. */
  readonly observe: (outputTokens: number, upstreamId: string | undefined) => void;
  /** Sends a note along with a call that is made anyway. */
  readonly take: <Result>(send: Send<Result>) => Promise<Result>;
  readonly stop: () => void;
}

/** Builds the notes of one stream. A note that fails is made up for by the next, or by the settlement. */
export function createProgressNotes(progress: () => Progress, send: Send<unknown>): ProgressNotes {
  let noted: Progress = {};
  let notedAt = Number.NEGATIVE_INFINITY;
  let isNoting = false;

  const take = <Result>(send: Send<Result>): Promise<Result> => {
    noted = progress();
    notedAt = performance.now();
    return send(noted);
  };
  const note = () => {
    // While the database takes its time, notes do not pile up.
    if (isNoting) return;
    isNoting = true;
    void take(send)
      .catch(() => {})
      .finally(() => {
        isNoting = false;
      });
  };
  const noteWhenDue = () => {
    const { inputTokens, outputTokens } = progress();
    const hasMoved = inputTokens !== noted.inputTokens || outputTokens !== noted.outputTokens;
    if (hasMoved || performance.now() - notedAt >= RENEWAL_MS) note();
  };
  let timer = setTimeout(() => {
    noteWhenDue();
    timer = setInterval(noteWhenDue, NOTE_MS);
    timer.unref();
  }, FIRST_NOTE_MS);
  timer.unref();

  return {
    take,
    observe: (outputTokens, upstreamId) => {
      // By its id upstream can be asked for its count, even if nothing else is known here any more.
      const isNamed = upstreamId !== undefined && noted.upstreamId === undefined;
      const isFar =
        outputTokens - (noted.outputTokens ?? 0) >= NOTE_TOKENS && performance.now() - notedAt >= MIN_SPACING_MS;
      if (isNamed || isFar) note();
    },
    stop: () => clearTimeout(timer),
  };
}
