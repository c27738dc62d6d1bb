/** Returns the value below which a share of sorted values lies; NaN for none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const sort = (values: readonly number[]) => values.toSorted((a, b) => a - b);

/** Returns the median; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = sort(values);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** Returns how far values lie apart: half the distance between the least and the most, as a share of their median. */
export function spread(values: readonly number[]): number {
  const sorted = sort(values);
  const distance = (sorted.at(-1) ?? Number.NaN) - (sorted[0] ?? Number.NaN);
  return distance / 2 / Math.abs(median(values));
}
