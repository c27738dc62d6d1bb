import { LRUCache } from 'lru-cache';

/** What is counted: an amount, under a key, in a window that begins with the first amount. */
export interface Charge {
  readonly key: string;
  readonly windowSeconds: number;
  /** 0 only reads; less than 0 gives back. */
  readonly amount: number;
}

/** What stands under a key after a charge. */
export interface Count {
  readonly used: number;
  readonly resetsInMs: number;
}

/** Counts in windows; all charges of a call are made together. */
export interface Counters {
  /** Makes charges; returns what stands under each key, in their order. */
  readonly add: (charges: readonly Charge[]) => readonly Count[] | Promise<readonly Count[]>;
  /** Returns why they do not count as they are meant to; undefined while they do. */
  readonly findProblem: () => string | undefined;
}

/** Most windows kept at once: a stranger with many addresses must not fill the memory. */
const MAX_WINDOWS = 100_000;

/** Creates counters that this process alone knows. */
export function createLocalCounters(): Counters {
  const windows = new LRUCache<string, { used: number; readonly endsAt: number }>({ max: MAX_WINDOWS });

  const count = ({ key, windowSeconds, amount }: Charge, now: number): Count => {
    const current = windows.get(key);
    if (current !== undefined && current.endsAt > now) {
      current.used = Math.max(0, current.used + amount);
      return { used: current.used, resetsInMs: Math.ceil(current.endsAt - now) };
    }
    const used = Math.max(0, amount);
    if (used > 0) windows.set(key, { used, endsAt: now + windowSeconds * 1_000 });
    return { used, resetsInMs: windowSeconds * 1_000 };
  };

  return {
    findProblem: () => undefined,
    add: (charges) => {
      // Not the clock on the wall: set back by an hour, it would keep everybody out for that long.
      const now = performance.now();
      return charges.map((charge) => count(charge, now));
    },
  };
}
