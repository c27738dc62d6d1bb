/** Longest a note waits for a call that is made anyway. */
const LONGEST_WAIT_MS = 250;

interface Waiting<Note> {
  readonly note: Note;
  readonly resolve: () => void;
}

/** Notes of running streams that nobody waits for, and that need no call of their own. */
export interface WaitingNotes<Note> {
  /** Has a note sent with the next call, or soon; a newer one of the same hold takes its place. Resolves when it has left. */
  readonly add: (holdId: string, note: Note) => Promise<void>;
  /** Forgets the note of a hold, as something newer is said of it. */
  readonly drop: (holdId: string) => void;
  /** Sends all of them now: to be called right before another call, which they then share. */
  readonly send: () => void;
}

/** Builds the notes that wait. @param send sends one; where that fails, the next note makes up for it */
export function createWaitingNotes<Note>(send: (holdId: string, note: Note) => Promise<unknown>): WaitingNotes<Note> {
  const waiting = new Map<string, Waiting<Note>>();
  let timer: NodeJS.Timeout | undefined;

  const take = (holdId: string): Waiting<Note> | undefined => {
    const found = waiting.get(holdId);
    waiting.delete(holdId);
    return found;
  };
  const sendAll = () => {
    clearTimeout(timer);
    timer = undefined;
    for (const holdId of [...waiting.keys()]) {
      const found = take(holdId);
      if (found !== undefined) void send(holdId, found.note).then(found.resolve, found.resolve);
    }
  };
  return {
    add: (holdId, note) => {
      take(holdId)?.resolve();
      timer ??= setTimeout(sendAll, LONGEST_WAIT_MS).unref();
      return new Promise((resolve) => waiting.set(holdId, { note, resolve }));
    },
    drop: (holdId) => take(holdId)?.resolve(),
    send: () => {
      if (waiting.size > 0) sendAll();
    },
  };
}
