import DataLoader from 'dataloader';
import { DatabaseError } from '../platform/database/client/database-error.js';

/** Most items of one call. */
const MAX_BATCH = 256;

/**
 * Makes one call for many items; returns an outcome for each, in their order. A rejection means that the call is not known
 * to have committed anything.
 */
export type SendBatch<Item, Outcome> = (items: readonly Item[]) => Promise<readonly Outcome[]>;

/**
 * Sends a batch so that an item Postgres rejects fails alone: such a call has committed nothing, so its halves are sent
 * again. Any other error is the outcome of every item, as the call may have committed.
 */
async function sendIsolating<Item, Outcome>(
  send: SendBatch<Item, Outcome>,
  items: readonly Item[],
): Promise<(Outcome | Error)[]> {
  try {
    return [...(await send(items))];
  } catch (error) {
    const failure = error instanceof Error ? error : new Error('batch failed', { cause: error });
    if (items.length === 1 || !(failure instanceof DatabaseError && failure.isInvalidInput))
      return items.map(() => failure);
    const middle = Math.ceil(items.length / 2);
    const first = await sendIsolating(send, items.slice(0, middle));
    return [...first, ...(await sendIsolating(send, items.slice(middle)))];
  }
}

/**
 * Builds a batcher, which coalesces concurrent calls. When idle it sends a call at once, together with those of the same
 * turn of the event loop; while a batch is in flight, later calls collect, at most {@link MAX_BATCH} a batch. Batches are
 * sent one after the other and keep the order of their items, so that the calls of one subject never overtake each other.
 *
 * @returns a function that submits one item and resolves to its outcome
 */
export function createBatcher<Item, Outcome>(send: SendBatch<Item, Outcome>): (item: Item) => Promise<Outcome> {
  const waiting: (() => void)[] = [];
  let busy = false;

  const dispatchNext = () => {
    const dispatch = waiting.shift();
    busy = dispatch !== undefined;
    dispatch?.();
  };

  const loader = new DataLoader<Item, Outcome>(
    async (items) => {
      try {
        return await sendIsolating(send, items);
      } finally {
        dispatchNext();
      }
    },
    {
      cache: false,
      maxBatchSize: MAX_BATCH,
      batchScheduleFn: (dispatch) => {
        waiting.push(dispatch);
        if (busy) return;
        busy = true;
        setImmediate(dispatchNext);
      },
    },
  );
  return (item) => loader.load(item);
}
