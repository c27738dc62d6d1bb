/** Calls back when nothing has been heard for too long. Time in which nobody listens does not count. */
export interface SilenceLimit {
  /** Tells that something was heard. */
  readonly heard: () => void;
  /** Tells that nobody listens for now, as with a client that is slow to read. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly stop: () => void;
}

/** Starts a limit of silence, in milliseconds. */
export function createSilenceLimit(limitMs: number, onSilence: () => void): SilenceLimit {
  let deadline = performance.now() + limitMs;
  let pausedAt: number | undefined;
  let timer = setTimeout(check, limitMs);

  /** Events move the deadline only, as they are many: the timer is set anew when it has gone off too early. */
  function check(): void {
    const leftMs = pausedAt === undefined ? deadline - performance.now() : limitMs;
    if (leftMs <= 0) onSilence();
    else timer = setTimeout(check, leftMs);
  }
  return {
    heard: () => {
      deadline = performance.now() + limitMs;
    },
    pause: () => {
      pausedAt = performance.now();
    },
    resume: () => {
      if (pausedAt !== undefined) deadline += performance.now() - pausedAt;
      pausedAt = undefined;
    },
    stop: () => clearTimeout(timer),
  };
}
