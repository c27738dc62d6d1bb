import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Longest time a client may read nothing of what waits for it before it counts as gone. */
const STALL_TIMEOUT_MS = 120_000;

/** The client a stream is written to. It may go away at any time, which is no error. */
export interface ClientStream {
  readonly isGone: () => boolean;
  /** Calls back when the client goes away before the end. */
  readonly onGone: (listener: () => void) => void;
  /** Writes, and waits while the client is slow. */
  readonly write: (bytes: Buffer | string) => void | Promise<void>;
  readonly end: () => void;
}

/** Builds the client's stream over a response body. */
export function createClientStream(out: Writable): ClientStream {
  let isGone = false;
  let hasEnded = false;
  const listeners: (() => void)[] = [];
  out.on('error', () => {});
  out.on('close', () => {
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
      if (isGone || out.destroyed || out.write(bytes)) return;
      return waitForDrain();
    },
    end: () => {
      hasEnded = true;
      if (!isGone) out.end();
    },
  };
}
