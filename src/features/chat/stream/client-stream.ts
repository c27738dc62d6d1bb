import { Readable } from 'node:stream';

/** Longest time a client may read nothing of what waits for it before it counts as gone. */
const STALL_TIMEOUT_MS = 120_000;
/** How long a stream may be without a byte: proxies cut connections that are silent for 30 or 60 seconds. */
const KEEP_ALIVE_INTERVAL_MS = 15_000;
/** Bytes that may come before there is a response to write them to. */
const MOST_EARLY_BYTES = 16 * 1024;
/** A comment, which readers of the stream ignore. */
export const KEEP_ALIVE = ': keep-alive\n\n';

/** The client a stream is written to. It may go away at any time, which is no error. */
export interface ClientStream {
  /** What the client is sent: the body of the response. */
  readonly body: Readable;
  readonly isGone: () => boolean;
  /** Calls back when the client goes away before the end. */
  readonly onGone: (listener: () => void) => void;
  /** Writes, and waits while the client is slow. */
  readonly write: (bytes: Buffer | string) => void | Promise<void>;
  /** Writes what comes last, and ends. */
  readonly end: (last: string) => Promise<void>;
}

type Response = NodeJS.WritableStream;

/** A body that is not read but writes itself, as events are many and a stream's buffer would take longer than all else. */
class WritingBody extends Readable {
  readonly #begin: (response: Response) => void;

  constructor(begin: (response: Response) => void) {
    super({ read: () => {} });
    this.#begin = begin;
  }

  override pipe<T extends Response>(response: T): T {
    this.#begin(response);
    return response;
  }
}

/**
 * Builds the stream of one client. While nothing is written to it, comments keep its connection open.
 * @param keepAliveMs how long it may be without a byte, in milliseconds
 */
export function createClientStream(keepAliveMs = KEEP_ALIVE_INTERVAL_MS): ClientStream {
  let response: Response | undefined;
  /** What was written before there was a response. */
  let early: (Buffer | string)[] = [];
  let earlyBytes = 0;
  let isGone = false;
  /** What comes last, once that has come. */
  let last: string | undefined;
  /** Whether as much waits for the client as may. */
  let isFull = false;
  let goOn: (() => void) | undefined;
  let writtenAt = performance.now();
  const listeners: (() => void)[] = [];

  const write = (bytes: Buffer | string) => {
    writtenAt = performance.now();
    if (response !== undefined) {
      isFull = !response.write(bytes);
      return;
    }
    early.push(bytes);
    earlyBytes += bytes.length;
    isFull = earlyBytes > MOST_EARLY_BYTES;
  };
  const drain = () => {
    isFull = false;
    goOn?.();
  };
  const finish = (to: Response, end: string) => {
    // First the body, as whoever waits for it takes a response that ends before it for one that was cut off.
    body.once('end', () => to.end(end));
    body.push(null);
    body.resume();
  };
  const body = new WritingBody((begun) => {
    response = begun;
    begun.on('drain', drain);
    for (const bytes of early) write(bytes);
    early = [];
    if (!isFull) drain();
    if (last !== undefined) finish(begun, last);
  });

  /** Writes only move the time it looks at, as they are many. */
  const keepAlive = () => {
    const leftMs = writtenAt + keepAliveMs - performance.now();
    // To a client that does not read, nothing more need be said.
    if (leftMs <= 0 && !isFull) write(KEEP_ALIVE);
    timer = setTimeout(keepAlive, leftMs > 0 ? leftMs : keepAliveMs).unref();
  };
  let timer = setTimeout(keepAlive, keepAliveMs).unref();
  body.on('error', () => {});
  body.on('close', () => {
    clearTimeout(timer);
    goOn?.();
    if (last !== undefined) return;
    isGone = true;
    for (const listener of listeners) listener();
  });

  const waitForReader = () =>
    new Promise<void>((resolve) => {
      const stall = setTimeout(() => body.destroy(), STALL_TIMEOUT_MS);
      goOn = () => {
        clearTimeout(stall);
        goOn = undefined;
        resolve();
      };
    });
  return {
    body,
    isGone: () => isGone,
    onGone: (listener) => {
      if (isGone) listener();
      else listeners.push(listener);
    },
    write: (bytes) => {
      if (isGone || body.destroyed || bytes.length === 0) return;
      write(bytes);
      return isFull ? waitForReader() : undefined;
    },
    end: async (end) => {
      if (isFull && !body.destroyed) await waitForReader();
      last = end;
      clearTimeout(timer);
      if (response !== undefined && !body.destroyed) finish(response, end);
    },
  };
}
