import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Longest time a client may read nothing of what waits for it before it counts as gone. */
const STALL_TIMEOUT_MS = 120_000;
/** How long a stream may be without a byte: proxies cut connections that are silent for 30 or 60 seconds. */
const KEEP_ALIVE_INTERVAL_MS = 15_000;
/** A comment, which readers of the stream ignore. */
export const KEEP_ALIVE = ': keep-alive\n\n';

/** The client a stream is written to. It may go away at any time, which is no error. */
export interface ClientStream {
  readonly isGone: () => boolean;
  /** Calls back when the client goes away before the end. */
  readonly onGone: (listener: () => void) => void;
  /** Writes, and waits while the client is slow. */
  readonly write: (bytes: Buffer | string) => void | Promise<void>;
  readonly end: () => void;
}

/**
 * Builds the client's stream over a response body. While nothing is written to it, comments keep its connection open.
 *
 * @param keepAliveMs how long it may be without a byte
 */
export function createClientStream(out: Writable, keepAliveMs = KEEP_ALIVE_INTERVAL_MS): ClientStream {
  let isGone = false;
  let hasEnded = false;
  const listeners: (() => void)[] = [];
  const keepAlive = setInterval(() => {
    // To a client that does not read, nothing more need be said.
    if (!out.destroyed && !out.writableNeedDrain) out.write(KEEP_ALIVE);
  }, keepAliveMs);
  keepAlive.unref();
  out.on('error', () => {});
  out.on('close', () => {
    clearInterval(keepAlive);
    if (hasEnded) return;
    isGone = true;
    for (const listener of listeners) listener();
  });

  const waitForDrain = async () => {
    const timer = setTimeout(() => out.destroy(), STALL_TIMEOUT_MS);
    const closed = new AbortController();
    out.once('close', () => closed.abort());
    await once(out, 'drain', { signal: closed.signal }).catch(() => {});
    clearTimeout(timer);
  };
  return {
    isGone: () => isGone,
    onGone: (listener) => {
      if (isGone) listener();
      else listeners.push(listener);
    },
    write: (bytes) => {
      if (isGone || out.destroyed || bytes.length === 0) return;
      keepAlive.refresh();
      return out.write(bytes) ? undefined : waitForDrain();
    },
    end: () => {
      hasEnded = true;
      clearInterval(keepAlive);
      if (!isGone) out.end();
    },
  };
}
