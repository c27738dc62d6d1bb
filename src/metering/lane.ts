import { ApiError } from '../platform/errors.js';
import { createServiceTimes } from './service-times.js';

/** Most items of one call. */
export const MAX_BATCH = 256;

/**
 * Makes one call for many items; returns an outcome for each, in their order. A rejection means that the call is not known
 * to have committed anything.
 */
export type SendBatch<Item, Outcome> = (items: readonly Item[]) => Promise<readonly Outcome[]>;

/** Where an item came from, such as a socket: once that is gone, nobody waits for the outcome. */
export interface Sender {
  readonly destroyed: boolean;
}

/** What may wait in a lane. */
export interface LaneBounds {
  /** Most items. */
  readonly length: number;
  /** Longest wait before an item is sent, in milliseconds. */
  readonly longestWaitMs: number;
}

interface Waiting<Item, Outcome> {
  readonly item: Item;
  readonly sender: Sender | undefined;
  readonly since: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Creates a lane: batches that are sent one after the other. What would wait too long is refused at once, what has waited
 * too long as soon as it has, and what nobody waits for any more is not sent.
 *
 * @param send resolves to an error for each item that failed
 * @param canShed whether an item may be refused or dropped at all
 */
export function createLane<Item, Outcome>(
  send: SendBatch<Item, Outcome | Error>,
  canShed: (item: Item) => boolean,
  bounds: LaneBounds,
): (item: Item, sender?: Sender) => Promise<Outcome> {
  const times = createServiceTimes(MAX_BATCH);
  let waiting: Waiting<Item, Outcome>[] = [];
  let isBusy = false;
  let isWatched = false;

  /** Refuses what has waited too long, or is waited for by nobody, and keeps the rest in its order. */
  const shed = (): void => {
    const tooOld = performance.now() - bounds.longestWaitMs;
    const isOver = ({ item, sender, since }: Waiting<Item, Outcome>) =>
      (since <= tooOld || sender?.destroyed === true) && canShed(item);
    if (!waiting.some(isOver)) return;
    const over = waiting.filter(isOver);
    waiting = waiting.filter((entry) => !isOver(entry));
    for (const { reject } of over) reject(new ApiError('SERVICE_UNAVAILABLE'));
  };

  /** Sheds for as long as something waits, also while a call takes long. */
  const watch = (): void => {
    isWatched = waiting.length > 0;
    if (isWatched) setTimeout(lookAfter, bounds.longestWaitMs / 4);
  };
  const lookAfter = (): void => {
    shed();
    watch();
  };

  const sendNext = async (): Promise<void> => {
    shed();
    const batch = waiting.slice(0, times.batchSize());
    waiting = waiting.slice(batch.length);
    isBusy = batch.length > 0;
    if (!isBusy) return;
    const begin = performance.now();
    const outcomes = await send(batch.map(({ item }) => item));
    times.note(batch.length, performance.now() - begin);
    // The next ones are on their way before these are answered.
    void sendNext();
    for (const [position, { resolve, reject }] of batch.entries()) {
      const outcome = outcomes[position];
      if (outcome instanceof Error) reject(outcome);
      else if (outcome !== undefined) resolve(outcome);
      else reject(new ApiError('SERVICE_UNAVAILABLE'));
    }
  };

  /** Tells whether an item would wait too long, as far as can be told from how long calls take. */
  const isFull = (): boolean =>
    waiting.length >= bounds.length || times.estimateWait(waiting.length) > bounds.longestWaitMs;

  return (item, sender) => {
    if (isBusy && isFull() && canShed(item)) return Promise.reject(new ApiError('SERVICE_UNAVAILABLE'));
    return new Promise((resolve, reject) => {
      waiting.push({ item, sender, since: performance.now(), resolve, reject });
      if (isBusy) {
        if (!isWatched) watch();
        return;
      }
      isBusy = true;
      setImmediate(() => void sendNext());
    });
  };
}
