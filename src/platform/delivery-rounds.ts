import type { FastifyBaseLogger } from 'fastify';
import { createRounds } from './rounds.js';

/** What waits in the database and is due. */
export interface Claim<Item> {
  readonly items: readonly Item[];
  /** Seconds until the next one is due; null where nothing waits. */
  readonly nextSeconds: number | null;
}

/** Delivers what waits in the database, a few at a time, for as long as there is any. */
export interface Delivery {
  /** Looks for what is due, now or as soon as the round under way is over; returns at once. */
  readonly wake: () => void;
  /** Takes nothing more, waits for what is on its way, and ends those attempts after a while. */
  readonly stop: () => Promise<void>;
}

/** What is delivered, and how. */
export interface DeliveryRounds<Item extends { readonly id: string | number }> {
  /** Names one of what is delivered, in the log: `mail`. */
  readonly name: string;
  readonly concurrency: number;
  /** Takes at most so many, for this server alone. */
  readonly claim: (limit: number) => Promise<Claim<Item>>;
  /**
   * Makes one attempt and tells the database how it ended.
   * @param stopping ends the attempt, as the server stops
   */
  readonly attempt: (item: Item, stopping: AbortSignal) => Promise<void>;
  readonly log: FastifyBaseLogger;
  /** How long stopping waits, in milliseconds. */
  readonly stopLimitMs: number;
}

/** Starts delivering when it is woken. Any number of servers may deliver from one database. */
export function createDeliveryRounds<Item extends { readonly id: string | number }>(
  rounds: DeliveryRounds<Item>,
): Delivery {
  const { name, concurrency, log } = rounds;
  const sending = new Set<Promise<void>>();
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;

  const send = (item: Item) => {
    const sent = rounds
      .attempt(item, stopping.signal)
      // It is due again when the time of its claim is over.
      .catch((error: unknown) =>
        log.warn({ err: error, [name]: item.id }, `what became of a ${name} could not be kept`),
      )
      .finally(() => {
        sending.delete(sent);
        // Only now it is known when it is due again, if it is.
        wake();
      });
    sending.add(sent);
  };

  const deliver = async (): Promise<boolean> => {
    if (sending.size >= concurrency) {
      await Promise.race(sending);
      return true;
    }
    const { items, nextSeconds } = await rounds.claim(concurrency - sending.size);
    for (const item of items) send(item);
    if (items.length === 0) sleep(nextSeconds);
    return items.length > 0;
  };

  const { wake, stop } = createRounds(deliver, (error) =>
    log.warn({ err: error }, `the outbox could not be read; each ${name} waits`),
  );

  const sleep = (seconds: number | null): void => {
    clearTimeout(timer);
    // What is due and was not to be had is in another server's hands.
    if (seconds !== null) timer = setTimeout(wake, Math.max(seconds, 1) * 1_000).unref();
  };

  return {
    wake,
    stop: async () => {
      clearTimeout(timer);
      const limit = setTimeout(() => stopping.abort(), rounds.stopLimitMs);
      await stop();
      await Promise.all(sending);
      clearTimeout(limit);
    },
  };
}
