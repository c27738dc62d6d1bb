import type { ChatMeter, Hold } from './chat-meter.js';
import type { CostGuard } from './cost-guard.js';
import { createProgressNotes } from './progress-notes.js';
import { WINDOW_TOKENS } from './request-estimate.js';
import type { UsageAccumulator } from './usage-accumulator.js';

/** Keeps a stream's hold alive, large enough for what the stream produces, and told of how far it has come. */
export interface HoldExtender {
  /**
   * Returns whether the hold pays for what has been produced; extends it in time where that is possible.
   * @returns false when it does not and no tokens are left to extend it by, or when it costs more than one request may
   * @throws {DatabaseError} when it does not and the database cannot say whether tokens are left
   */
  readonly hasBudget: () => boolean | Promise<boolean>;
  /** Returns the tokens that are held for the answer by now. */
  readonly heldTokens: () => number;
  /** Stops the notes; to be called when the stream has ended. */
  readonly stop: () => void;
}

/**
 * Builds the extender of a stream's hold and starts its notes.
 *
 * @param isUnbounded whether upstream was given no limit. A limit that was given is trusted until the text has
 *   certainly exceeded it.
 * @param guard what the request may cost, where that is limited
 */
export function createHoldExtender(
  meter: ChatMeter,
  hold: Hold,
  usage: UsageAccumulator,
  isUnbounded: boolean,
  guard?: CostGuard,
): HoldExtender {
  const { mostTokens = Number.POSITIVE_INFINITY, mostNanoUsd = Number.POSITIVE_INFINITY } = guard ?? {};
  const marginTokens = isUnbounded ? WINDOW_TOKENS / 2 : 0;
  let held = hold.outputTokens;
  let extension: Promise<void> | undefined;

  const produced = () => (isUnbounded ? usage.answer.estimate() : usage.answer.lowerBound());
  const notes = createProgressNotes(
    () => usage.progress(held),
    (progress) => meter.note(hold.id, progress),
  );
  const payable = () => Math.min(held, mostTokens);
  const extend = async () => {
    const wanted = Math.min(Math.max(WINDOW_TOKENS, produced() - held + marginTokens), mostTokens - held);
    held += await notes.take((progress) => meter.extend(hold.id, wanted, progress));
  };
  const extendWhenNeeded = () => {
    if (extension !== undefined || held >= mostTokens || produced() <= held - marginTokens) return;
    extension = extend().finally(() => {
      extension = undefined;
    });
    extension.catch(() => {});
  };
  const isCovered = async (): Promise<boolean> => {
    await extension;
    // No stream is ended over an estimate: its text is counted first.
    if (produced() > payable()) await usage.answer.exact();
    // One event may be longer than what the extension was asked for.
    if (produced() > held && held < mostTokens) await extend();
    return produced() <= payable();
  };

  return {
    hasBudget: () => {
      notes.observe(usage.answer.estimate(), usage.origin().upstreamId);
      // Upstream's own number, where it says one while the stream goes on.
      if ((usage.cost() ?? 0) > mostNanoUsd) return false;
      extendWhenNeeded();
      return produced() <= payable() || isCovered();
    },
    heldTokens: () => held,
    stop: notes.stop,
  };
}
