import type { ChatMeter, Hold } from './chat-meter.js';
import { WINDOW_TOKENS } from './output-limit.js';
import type { Tally } from './usage-accumulator.js';

/** How often a running stream says that it is still there: far more often than its hold expires. */
const RENEWAL_MS = 60_000;

/** What a stream may still produce. */
export interface Allowance {
  /**
   * Whether the hold pays for what was produced; grows it in time where it can.
   * @returns false when it does not and nothing is left to grow it by
   * @throws {DatabaseError} when it does not and nobody can say whether it may grow
   */
  readonly covers: () => boolean | Promise<boolean>;
  /** To be called when the stream has ended. */
  readonly end: () => void;
}

/**
 * Builds the allowance of a stream.
 *
 * @param isOpen whether the stream has no limit upstream knows. One that has is believed to keep it, until it has
 *   certainly broken it.
 */
export function createAllowance(meter: ChatMeter, hold: Hold, tally: Tally, isOpen: boolean): Allowance {
  const marginTokens = isOpen ? WINDOW_TOKENS / 2 : 0;
  let held = hold.outputTokens;
  let growth: Promise<void> | undefined;
  let isNamed = false;

  const produced = () => (isOpen ? tally.answer.roughly() : tally.answer.atLeast());
  const grow = async () => {
    held += await meter.extend(hold.id, WINDOW_TOKENS, tally.origin());
  };
  const renew = () => {
    // The next renewal, or the settlement, finds out as well.
    void meter.extend(hold.id, 0, tally.origin()).catch(() => {});
  };
  const growWhenNeeded = () => {
    if (growth !== undefined || produced() < held - marginTokens) return;
    growth = grow().finally(() => {
      growth = undefined;
    });
    growth.catch(() => {});
  };
  const isCovered = async (): Promise<boolean> => {
    await growth;
    // Before a stream is ended over an estimate, it is counted.
    if (produced() >= held) await tally.answer.count();
    return produced() < held;
  };
  const timer = setInterval(renew, RENEWAL_MS);
  timer.unref();

  return {
    covers: () => {
      // Should this process die, upstream's count can still be asked for.
      if (!isNamed && tally.origin().upstreamId !== undefined) {
        isNamed = true;
        renew();
      }
      growWhenNeeded();
      return produced() < held || isCovered();
    },
    end: () => clearInterval(timer),
  };
}
