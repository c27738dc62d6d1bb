/** Takes a piece of a body; returns whether that is enough, with a promise only where it has to wait for something. */
type Take = (piece: Buffer) => boolean | Promise<boolean>;

/** The body of an answer, which is read as it comes. */
export interface AnswerBody {
  /**
   * Hands over all that comes until its reader has enough: what comes in one turn of the event loop, and while the reader
   * waits, is one piece. What the reader leaves can be read afterwards.
   * @returns whether the body has come to its end
   * @throws where it broke off or was destroyed, after all that had come
   */
  readonly read: (take: Take) => Promise<boolean>;
  /** Ends it, and the connection with it unless it has come to its end. */
  readonly destroy: () => void;
}

/** A body as the connection fills it. */
export interface IncomingBody extends AnswerBody {
  /** Takes bytes; returns whether more may come before {@link Connection.resume}. */
  readonly push: (bytes: Buffer) => boolean;
  readonly end: () => void;
  readonly fail: (error: Error) => void;
}

/** What a body asks of the connection it comes from. */
interface Connection {
  readonly resume: () => void;
  readonly abort: () => void;
}

/** Whoever reads a body. */
interface Reader {
  readonly take: Take;
  readonly resolve: (hasEnded: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes that may wait here to be taken before upstream has to. */
const MOST_WAITING = 64 * 1024;
/** Calls back when the turn is over in which something came, without a promise for each. */
const TURN = Promise.resolve();

/** Builds a body. It is no stream of Node's, as most of a chunk's way through the server would be within streams. */
export function createIncomingBody({ resume, abort }: Connection): IncomingBody {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let hasEnded = false;
  let failure: Error | undefined;
  let reader: Reader | undefined;
  /** Whether what waits will be handed over at the end of this turn. */
  let isDue = false;
  /** Whether the reader waits for something, and takes nothing until then. */
  let isBusy = false;

  const takeWaiting = (): Buffer => {
    const [first] = waiting;
    const piece = first !== undefined && waiting.length === 1 ? first : Buffer.concat(waiting, waitingBytes);
    const isPaused = waitingBytes > MOST_WAITING;
    waiting = [];
    waitingBytes = 0;
    // Which may bring more at once.
    if (isPaused) resume();
    return piece;
  };
  const stop = (isEnd: boolean): void => {
    const current = reader;
    reader = undefined;
    current?.resolve(isEnd);
  };
  const giveUp = (error: unknown): void => {
    const current = reader;
    reader = undefined;
    isBusy = false;
    current?.reject(error);
  };
  /** Hands over what waits. @returns whether the reader has to be waited for, or has had enough */
  const handPieces = ({ take }: Reader): boolean => {
    while (waiting.length > 0) {
      const isEnough = take(takeWaiting());
      if (isEnough === true) stop(false);
      else if (isEnough !== false) {
        isBusy = true;
        isEnough.then(goOn, giveUp);
      }
      if (isEnough !== false) return true;
    }
    return false;
  };
  const handOver = (): void => {
    isDue = false;
    if (reader === undefined || isBusy) return;
    try {
      if (handPieces(reader)) return;
      if (failure !== undefined) giveUp(failure);
      else if (hasEnded) stop(true);
    } catch (error) {
      giveUp(error);
    }
  };
  const goOn = (isEnough: boolean): void => {
    isBusy = false;
    if (isEnough) stop(false);
    else handOver();
  };
  const wake = (): void => {
    if (isDue || isBusy || reader === undefined) return;
    isDue = true;
    void TURN.then(handOver);
  };
  const fail = (error: Error): void => {
    if (!hasEnded) failure ??= error;
    wake();
  };

  return {
    push: (bytes) => {
      waiting.push(bytes);
      waitingBytes += bytes.length;
      wake();
      return waitingBytes <= MOST_WAITING;
    },
    end: () => {
      hasEnded = true;
      wake();
    },
    fail,
    read: (take) =>
      new Promise((resolve, reject) => {
        reader = { take, resolve, reject };
        wake();
      }),
    destroy: () => {
      if (hasEnded || failure !== undefined) return;
      fail(new Error('the body was closed before its end'));
      abort();
    },
  };
}

/** Reads a body to its end, or until it is longer than it may be. @throws where it broke off */
export async function readWhole(body: AnswerBody, mostBytes = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  await body.read((piece) => {
    pieces.push(piece);
    length += piece.length;
    return length > mostBytes;
  });
  return Buffer.concat(pieces);
}
