/** What is known of how long calls take. */
export interface ServiceTimes {
  /** Notes that a call of so many items took so long, in milliseconds. */
  readonly note: (items: number, ms: number) => void;
  /** Returns how many items the next call should have. */
  readonly batchSize: () => number;
  /** Returns how long the next call is likely to take, in milliseconds. */
  readonly estimateCall: () => number;
  /** Returns how long an item is likely to wait behind so many, with a call under way, in milliseconds. */
  readonly estimateWait: (items: number) => number;
}

/** How much the latest call counts in the averages. */
const WEIGHT = 0.1;
/** How long a call should take at most, in milliseconds, where smaller ones take less. */
const TARGET_MS = 100;
/** Fewest items a call is cut down to: what each call costs by itself would otherwise weigh more than its items. */
const SMALLEST_BATCH = 32;

/**
 * Creates the measure of service times: a straight line through the recent calls, so that what an item adds is told apart
 * from what every call costs. Smaller calls help against the one only.
 *
 * @param largest most items of a call
 */
export function createServiceTimes(largest: number): ServiceTimes {
  let [items, ms, itemsSquared, product] = [0, 0, 0, 0];
  let isEmpty = true;

  const blend = (average: number, value: number) => (isEmpty ? value : average + WEIGHT * (value - average));
  /** Milliseconds each further item adds. */
  const slope = () => {
    const variance = itemsSquared - items * items;
    return variance < 1 ? 0 : Math.max(0, (product - items * ms) / variance);
  };

  const batchSize = () => {
    const each = slope();
    return each === 0 ? largest : Math.min(largest, Math.max(SMALLEST_BATCH, Math.floor(TARGET_MS / each)));
  };

  return {
    note: (count, duration) => {
      items = blend(items, count);
      ms = blend(ms, duration);
      itemsSquared = blend(itemsSquared, count * count);
      product = blend(product, count * duration);
      isEmpty = false;
    },
    batchSize,
    estimateCall: () => ms,
    // The call under way is half done, on average.
    estimateWait: (count) => (0.5 + Math.floor(count / batchSize())) * ms,
  };
}
