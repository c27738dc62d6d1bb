/** How many positions of the primary are remembered, and how far apart they are at least, in milliseconds. */
const MOST_REMEMBERED = 4_096;
const LEAST_APART_MS = 50;

/** Tells how far a standby is behind, by where the primary was when. No clock of another machine is asked. */
export interface Progress {
  /** Remembers that the primary was as far as this at a time, or farther. */
  readonly note: (at: number, position: number) => void;
  /**
   * Returns by how many milliseconds at most what is read at a position is older than a time; Infinity where nobody knows.
   * Times are of `performance.now()`, positions in bytes of the log of changes.
   */
  readonly lagOf: (position: number, at: number) => number;
}

/** Creates the memory of where the primary was, of as many milliseconds as matter. */
export function createProgress(keptMs: number): Progress {
  let noted: { at: number; position: number }[] = [];
  const apart = Math.max(LEAST_APART_MS, keptMs / (MOST_REMEMBERED - 1));
  return {
    note: (at, position) => {
      const latest = noted.at(-1);
      // After a restore the log is shorter than it was; what came in another order than it was asked for is left out.
      if (latest !== undefined && latest.at < at - keptMs) noted = [];
      else if (latest !== undefined && (at - latest.at < apart || position < latest.position)) return;
      noted.push({ at, position });
      // The one before what is kept tells of how much older something is.
      while ((noted[1]?.at ?? at) < at - keptMs) noted.shift();
    },
    lagOf: (position, at) => {
      const reached = noted.findLast((then) => then.position <= position && then.at <= at);
      return reached === undefined ? Number.POSITIVE_INFINITY : at - reached.at;
    },
  };
}
