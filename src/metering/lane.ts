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

/** Is told how many items are sent, and since when the oldest of them waited, by `performance.now()`. */
export type OnBatch = (items: number, waitedSince: number) => void;

/** What may wait in a lane. */
export interface LaneBounds {
  /** Most items. */
  readonly length: number;
  /** Longest time until an item is answered, in milliseconds: clients close their connections after some seconds. */
  readonly longestMs: number;
}

interface Waiting<Item, Outcome> {
  readonly item: Item;
  readonly sender: Sender | undefined;
  readonly since: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Creates a lane: batches that are sent one after the other. What would be answered too late is refused at once, what has
 * waited too long to be answered in time as soon as it has, and what nobody waits for any more is not sent.
 *
 * @param send resolves to an error for each item that failed
 * @param canShed whether an item may be refused or dropped at all
 * @param onBatch told of each batch before it is sent
 */
export function createLane<Item, Outcome>(
  send: SendBatch<Item, Outcome | Error>,
  canShed: (item: Item) => boolean,
  bounds: LaneBounds,
  onBatch: OnBatch,
): (item: Item, sender?: Sender) => Promise<Outcome> {
  const times = createServiceTimes(MAX_BATCH);
  let waiting: Waiting<Item, Outcome>[] = [];
  let isBusy = false;
  let isWatched = false;

  /** How long an item may wait so that its own call still fits; at least half of it all, or slow calls would carry hardly any. */
  const longestWaitMs = () => bounds.longestMs - Math.min(times.estimateCall(), bounds.longestMs / 2);

  /** Refuses what would be answered too late, or is waited for by nobody, and keeps the rest in its order. */
  const shed = (): void => {
    const tooOld = performance.now() - longestWaitMs();
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
    if (isWatched) setTimeout(lookAfter, bounds.longestMs / 8);
  };
  const lookAfter = (): void => {
    shed();
    watch();
  };

  const sendNext = async (): Promise<void> => {
    shed();
    const batch = waiting.slice(0, times.batchSize());
    waiting = waiting.slice(batch.length);
    const [oldest] = batch;
    isBusy = oldest !== undefined;
    if (oldest === undefined) return;
    onBatch(batch.length, oldest.since);
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
  const isFull = (): boolean => waiting.length >= bounds.length || times.estimateWait(waiting.length) > longestWaitMs();

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
