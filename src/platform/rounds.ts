/** Work that is looked for when somebody says that there may be some. */
export interface Rounds {
  /** Looks for work, now or as soon as the round under way is over; returns at once. */
  readonly wake: () => void;
  /** Begins none more, and waits for what is under way. */
  readonly stop: () => Promise<void>;
}

/**
 * Creates rounds: one at a time, each of which goes on for as long as there is work, or somebody woke it meanwhile.
 *
 * @param step does some of the work; returns whether there may be more
 * @param onFailure is told what ended a round
 */
export function createRounds(step: () => Promise<boolean>, onFailure: (error: unknown) => void): Rounds {
  let isStopped = false;
  let isWoken = false;
  let round: Promise<void> | undefined;

  const go = async (): Promise<void> => {
    for (let isMore = true; isMore && !isStopped; ) {
      isWoken = false;
      isMore = (await step()) || isWoken;
    }
  };

  const wake = (): void => {
    isWoken = true;
    if (isStopped || round !== undefined) return;
    round = go()
      .catch(onFailure)
      .finally(() => {
        round = undefined;
        // Woken while the round ended, which by then did not look any more.
        if (isWoken) wake();
      });
  };

  return {
    wake,
    stop: async () => {
      isStopped = true;
      await round;
    },
  };
}
