import { Readable } from 'node:stream';

/** Longest time a client may read nothing of what waits for it before it counts as gone. */
const STALL_TIMEOUT_MS = 120_000;
/** How long a stream may be without a byte: proxies cut connections that are silent for 30 or 60 seconds. */
const KEEP_ALIVE_INTERVAL_MS = 15_000;
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
  readonly end: () => void;
}

/** How a client is written to. */
interface ClientStreamOptions {
  /** How long its stream may be without a byte, in milliseconds. */
  readonly keepAliveMs?: number;
  /** Bytes that may wait for it; Node's usual number by default. */
  readonly highWaterMark?: number;
}

/** Builds the stream of one client. While nothing is written to it, comments keep its connection open. */
export function createClientStream(options: ClientStreamOptions = {}): ClientStream {
  const { keepAliveMs = KEEP_ALIVE_INTERVAL_MS, highWaterMark } = options;
  let isGone = false;
  let hasEnded = false;
  /** Whether as much waits for the client as may. */
  let isFull = false;
  let goOn: (() => void) | undefined;
  const listeners: (() => void)[] = [];
  const body = new Readable({
    ...(highWaterMark !== undefined && { highWaterMark }),
    read: () => {
      isFull = false;
      goOn?.();
    },
  });
  const push = (bytes: Buffer | string) => {
    isFull = !body.push(bytes);
  };
  const keepAlive = setInterval(() => {
    // To a client that does not read, nothing more need be said.
    if (!body.destroyed && !isFull) push(KEEP_ALIVE);
  }, keepAliveMs);
  keepAlive.unref();
  body.on('error', () => {});
  body.on('close', () => {
    clearInterval(keepAlive);
    goOn?.();
    if (hasEnded) return;
    isGone = true;
    for (const listener of listeners) listener();
  });

  const waitForReader = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(() => body.destroy(), STALL_TIMEOUT_MS);
      goOn = () => {
        clearTimeout(timer);
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
      keepAlive.refresh();
      push(bytes);
      return isFull ? waitForReader() : undefined;
    },
    end: () => {
      hasEnded = true;
      clearInterval(keepAlive);
      if (!isGone) body.push(null);
    },
  };
}
