import { type Charge, type Count, type Counters, createLocalCounters } from '../auth/limits/counters.js';
import type { FromSupervisor, FromWorker } from './messages.js';

/** A call that waits for its counts. */
interface Waiting {
  readonly charges: readonly Charge[];
  readonly resolve: (counts: readonly Count[]) => void;
}

/** Counters that the supervisor keeps for all its workers. */
export interface SupervisedCounters extends Counters {
  /** Takes what the supervisor answered. */
  readonly receive: (answer: Extract<FromSupervisor, { kind: 'counts' }>) => void;
}

/**
 * Creates the counters of a worker: two workers let through no more than one process would. What is charged in one turn
 * of the event loop goes into one message.
 *
 * @param send hands a message to the supervisor; false where there is none any more
 */
export function createSupervisedCounters(send: (message: FromWorker) => boolean): SupervisedCounters {
  const local = createLocalCounters();
  const asked = new Map<number, readonly Waiting[]>();
  let collected: Waiting[] = [];
  let lastId = 0;

  const countHere = async (calls: readonly Waiting[]) => {
    for (const { charges, resolve } of calls) resolve(await local.add(charges));
  };
  const flush = () => {
    const calls = collected;
    collected = [];
    lastId += 1;
    asked.set(lastId, calls);
    const isSent = send({ kind: 'charges', id: lastId, calls: calls.map(({ charges }) => charges.map(toMessage)) });
    if (isSent) return;
    asked.delete(lastId);
    void countHere(calls);
  };

  return {
    findProblem: () => undefined,
    add: (charges) =>
      new Promise((resolve) => {
        if (collected.length === 0) setImmediate(flush);
        collected.push({ charges, resolve });
      }),
    receive: ({ id, calls }) => {
      const waiting = asked.get(id) ?? [];
      asked.delete(id);
      for (const [position, { resolve }] of waiting.entries()) resolve(calls[position] ?? []);
    },
  };
}

/** Leaves out what a quota has besides its charge. */
const toMessage = ({ key, windowSeconds, amount }: Charge) => ({ key, windowSeconds, amount });
