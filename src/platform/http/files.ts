import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { DatabaseError } from '../database/client/database-error.js';
import { ApiError } from '../errors.js';

/** How many files may be on their way at once: to one party, and altogether. */
const FILES_OF_ONE = 4;
const FILES = 32;
/** How soon to ask again, in seconds. */
const RETRY_AFTER_SECONDS = 2;
/** For how long a page is asked for again that was refused, and how long between, in milliseconds. */
const PATIENCE_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** Refusals of those who have too much to do: too much waits, or every connection is busy. */
const TOO_MUCH = ['PT429', 'PT503', 'PGRST003'];

/** Rows of a page: a file has no more of them in memory, and others' requests are answered between two pages. */
export const FILE_PAGE_ROWS = 1_000;

/** A file that is written while it is read. */
export interface PagedFile {
  readonly type: string;
  readonly name: string;
  readonly text: AsyncIterable<string>;
}

/** Files that are read from the database page by page while they are sent. */
export interface Files {
  /**
   * Sends a file to a party, and ends when it was sent or the client is gone.
   * @param open begins it: what fails here is still answered as an error
   * @throws {ApiError} RATE_LIMITED where enough files are on their way to this party, SERVICE_UNAVAILABLE where enough are
   *   altogether
   */
  readonly send: (reply: FastifyReply, party: string, open: () => Promise<PagedFile>) => Promise<void>;
}

/** Creates the places that files take for as long as they are on their way. */
export function createFiles(): Files {
  const underWay = new Map<string, number>();
  let total = 0;

  const take = (party: string) => {
    const own = underWay.get(party) ?? 0;
    if (own >= FILES_OF_ONE) throw new ApiError('RATE_LIMITED', { extras: { retry_after: RETRY_AFTER_SECONDS } });
    if (total >= FILES) throw new ApiError('SERVICE_UNAVAILABLE');
    underWay.set(party, own + 1);
    total += 1;
  };
  const leave = (party: string) => {
    const left = (underWay.get(party) ?? 0) - 1;
    if (left > 0) underWay.set(party, left);
    else underWay.delete(party);
    total -= 1;
  };

  return {
    send: async (reply, party, open) => {
      take(party);
      try {
        const { type, name, text } = await open();
        // Ends when the answer does, whether or not the client stayed.
        await reply
          .type(type)
          .header('content-disposition', `attachment; filename="${name}"`)
          .header('cache-control', 'no-store')
          .send(Readable.from(text, { objectMode: false }));
      } finally {
        leave(party);
      }
    },
  };
}

/**
 * Reads a page of a file that has begun: it is not broken off where others are busy, but read once they have let go.
 * @throws {DatabaseError} whatever else is wrong, and where it is refused for a minute
 */
export async function readPatiently<T>(read: () => Promise<T>): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await read();
    } catch (error) {
      const isTooMuch = error instanceof DatabaseError && TOO_MUCH.includes(error.code);
      if (!isTooMuch || performance.now() > end) throw error;
    }
    await delay(pause);
  }
}
