import { DatabaseError } from '../platform/database/client/database-error.js';
import { createLane, type LaneBounds, MAX_BATCH, type OnBatch, type SendBatch, type Sender } from './lane.js';

/** How a batcher treats its items. */
export interface BatcherOptions<Item> {
  /** How many batches may be under way at once, each of other subjects; 1 by default. */
  readonly lanes?: number;
  /** Returns whom an item is about: calls of one subject never overtake each other. */
  readonly toSubject?: (item: Item) => string;
  /** Returns whether an item may be refused rather than wait; by default every one may. */
  readonly canShed?: (item: Item) => boolean;
  readonly bounds?: Partial<LaneBounds>;
  /** Is told of each batch before it is sent. */
  readonly onBatch?: OnBatch;
}

/** Submits an item and resolves to its outcome. @param sender whose item it is, where somebody waits for the outcome */
export type Submit<Item, Outcome> = (item: Item, sender?: Sender) => Promise<Outcome>;

/** What may wait, where nothing else is said. */
const BOUNDS: LaneBounds = { length: 8 * MAX_BATCH, longestMs: 4_000 };

/**
 * Sends a batch so that an item Postgres rejects fails alone: such a call has committed nothing, so its halves are sent
 * again. Any other error is the outcome of every item, as the call may have committed.
 */
async function sendIsolating<Item, Outcome>(
  send: SendBatch<Item, Outcome>,
  items: readonly Item[],
): Promise<(Outcome | Error)[]> {
  try {
    const outcomes = await send(items);
    if (outcomes.length === items.length) return [...outcomes];
    return items.map(() => DatabaseError.unexpected('unexpected number of outcomes'));
  } catch (error) {
    const failure = error instanceof Error ? error : new Error('batch failed', { cause: error });
    if (items.length === 1 || !(failure instanceof DatabaseError && failure.isInvalidInput))
      return items.map(() => failure);
    const middle = Math.ceil(items.length / 2);
    const first = await sendIsolating(send, items.slice(0, middle));
    return [...first, ...(await sendIsolating(send, items.slice(middle)))];
  }
}

/** Returns a number that is the same for the same text, and spreads texts evenly. */
function hash(text: string): number {
  let value = 0;
  for (let position = 0; position < text.length; position += 1) {
    value = Math.imul(value ^ text.charCodeAt(position), 16_777_619) >>> 0;
  }
  return value;
}

/**
 * Builds a batcher, which coalesces concurrent calls. When idle it sends a call at once, together with those of the same
 * turn of the event loop; while a batch is in flight, later calls collect, at most {@link MAX_BATCH} a batch. The batches
 * of a lane are sent one after the other and keep the order of their items, and a subject has one lane, so that its calls
 * never overtake each other.
 *
 * @returns a function that submits one item and resolves to its outcome; it rejects with SERVICE_UNAVAILABLE, before
 *   anything is sent, what would wait too long
 */
export function createBatcher<Item, Outcome>(
  send: SendBatch<Item, Outcome>,
  options: BatcherOptions<Item> = {},
): Submit<Item, Outcome> {
  const { lanes: count = 1, toSubject, canShed = () => true, onBatch = () => {} } = options;
  const bounds = { ...BOUNDS, ...options.bounds };
  const isolating: SendBatch<Item, Outcome | Error> = (items) => sendIsolating(send, items);
  const openLane = () => createLane(isolating, canShed, bounds, onBatch);
  const first = openLane();
  if (count === 1 || toSubject === undefined) return first;
  const lanes = [first, ...Array.from({ length: count - 1 }, openLane)];
  return (item, sender) => (lanes[hash(toSubject(item)) % count] ?? first)(item, sender);
}
