const DAY_MS = 24 * 60 * 60 * 1_000;

/** A month and what was used in it so far. */
export interface MonthSoFar {
  /** First moment of the month, and the first after it, in epoch milliseconds. */
  readonly from: number;
  readonly to: number;
  readonly used: number;
}

/**
 * What a month's use comes to when it goes on as it did so far: use ÷ time passed × length of the month. Nothing is
 * said without use, nor on the first day, of which a single request would make a month.
 *
 * @param now epoch milliseconds
 */
export function forecast({ from, to, used }: MonthSoFar, now: number): number | undefined {
  const passed = Math.min(now, to) - from;
  return used > 0 && passed >= DAY_MS ? Math.round((used / passed) * (to - from)) : undefined;
}

/** When what remains is used up at that pace, in epoch milliseconds; undefined where it lasts the month or no pace is known. */
export function usedUpAt(month: MonthSoFar, remaining: number, now: number): number | undefined {
  if (forecast(month, now) === undefined) return undefined;
  const at = now + (remaining / month.used) * (now - month.from);
  return at < month.to ? at : undefined;
}
