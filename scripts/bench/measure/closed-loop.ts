import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from './statistics.js';

/** What one run measured, by the name of the figure; `report/figures.ts` says what each is. */
export type Measurement = Readonly<Record<string, number>>;

/** How a run is loaded. */
export interface Load {
  /** How many send at the same time, each its next request once the last one is answered. */
  readonly connections: number;
  readonly seconds: number;
  /** Over how many milliseconds the first requests are spread; all at once by default. */
  readonly spreadMs?: number;
  /**
   * Makes one request and waits for its whole answer.
   * @returns the milliseconds to the first byte of the answer, where that is of interest
   */
  readonly send: (connection: number) => Promise<number | undefined>;
}

/** Sorts times given in milliseconds. */
const toSorted = (times: readonly number[]) => Float64Array.from(times).sort();

/**
 * Runs a load for its time; requests that are under way at its end are waited for and count.
 * @returns requests a second, and the percentiles of their times in milliseconds
 */
export async function runClosedLoop({ connections, seconds, spreadMs = 0, send }: Load): Promise<Measurement> {
  const times: number[] = [];
  const firstBytes: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1_000;
  const work = async (connection: number) => {
    if (spreadMs > 0) await delay((spreadMs * connection) / connections);
    for (let began = performance.now(); began < end || times.length === 0; ) {
      const firstByte = await send(connection);
      const now = performance.now();
      times.push(now - began);
      if (firstByte !== undefined) firstBytes.push(firstByte);
      began = now;
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, connection) => work(connection)));
  const elapsed = (performance.now() - start) / 1_000;
  const [sorted, first] = [toSorted(times), toSorted(firstBytes)];
  return {
    requests: times.length,
    rate: times.length / elapsed,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    ...(first.length > 0 && { first: percentile(first, 0.5), first99: percentile(first, 0.99) }),
  };
}
