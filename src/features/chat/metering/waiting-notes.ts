import type { Progress } from './chat-meter.js';

/** Longest a note waits for a call that is made anyway. */
const LONGEST_WAIT_MS = 250;

interface Note {
  readonly progress: Progress;
  readonly resolve: () => void;
}

/** Notes of running streams that nobody waits for, and that need no call of their own. */
export interface WaitingNotes {
  /** Has a note sent with the next call, or soon; a newer one of the same hold takes its place. Resolves when it has left. */
  readonly add: (holdId: string, progress: Progress) => Promise<void>;
  /** Forgets the note of a hold, as something newer is said of it. */
  readonly drop: (holdId: string) => void;
  /** Sends all of them now: to be called right before another call, which they then share. */
  readonly send: () => void;
}

/** Builds the notes that wait. @param send sends one; where that fails, the next note makes up for it */
export function createWaitingNotes(send: (holdId: string, progress: Progress) => Promise<unknown>): WaitingNotes {
  const waiting = new Map<string, Note>();
  let timer: NodeJS.Timeout | undefined;

  const take = (holdId: string): Note | undefined => {
    const note = waiting.get(holdId);
    waiting.delete(holdId);
    return note;
  };
  const sendAll = () => {
    clearTimeout(timer);
    timer = undefined;
    for (const holdId of [...waiting.keys()]) {
      const note = take(holdId);
      if (note !== undefined) void send(holdId, note.progress).then(note.resolve, note.resolve);
    }
  };
  return {
    add: (holdId, progress) => {
      take(holdId)?.resolve();
      timer ??= setTimeout(sendAll, LONGEST_WAIT_MS).unref();
      return new Promise((resolve) => waiting.set(holdId, { progress, resolve }));
    },
    drop: (holdId) => take(holdId)?.resolve(),
    send: () => {
      if (waiting.size > 0) sendAll();
    },
  };
}
