import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Longest time somebody may take none of what waits for them before they count as gone. */
const STALL_MS = 120_000;

/** The client a stream is written to. It may go away at any time, which is no error. */
export interface Reader {
  readonly isGone: () => boolean;
  /** Runs when the client goes away before the end. */
  readonly onGone: (then: () => void) => void;
  /** Writes, and waits while the client is slow. */
  readonly write: (bytes: Buffer | string) => void | Promise<void>;
  readonly end: () => void;
}

export function createReader(out: Writable): Reader {
  let gone = false;
  let ended = false;
  const listeners: (() => void)[] = [];
  out.on('error', () => {});
  out.on('close', () => {
    if (ended) return;
    gone = true;
    for (const listener of listeners) listener();
  });

  const drained = async () => {
    const timer = setTimeout(() => out.destroy(), STALL_MS);
    const closed = new AbortController();
    out.once('close', () => closed.abort());
    await once(out, 'drain', { signal: closed.signal }).catch(() => {});
    clearTimeout(timer);
  };
  return {
    isGone: () => gone,
    onGone: (then) => {
      if (gone) then();
      else listeners.push(then);
    },
    write: (bytes) => {
      if (gone || out.destroyed || out.write(bytes)) return;
      return drained();
    },
    end: () => {
      ended = true;
      if (!gone) out.end();
    },
  };
}
