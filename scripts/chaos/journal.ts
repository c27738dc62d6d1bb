/** What clients saw. */
export interface Journal {
  /** Counts something that happened, by its name. */
  readonly count: (what: string) => void;
  readonly counts: ReadonlyMap<string, number>;
  /** Keeps what must never happen, up to a number. */
  readonly violate: (sentence: string) => void;
  readonly violations: readonly string[];
}

const MOST_KEPT = 100;

/** Opens an empty journal. */
export function openJournal(): Journal {
  const counts = new Map<string, number>();
  const violations: string[] = [];
  return {
    count: (what) => void counts.set(what, (counts.get(what) ?? 0) + 1),
    counts,
    violate: (sentence) => {
      if (violations.length < MOST_KEPT) violations.push(`${new Date().toISOString()} ${sentence}`);
    },
    violations,
  };
}
