import type { Readable } from 'node:stream';

/** A body, read as it comes. */
export interface Pieces {
  /**
   * Returns all that has come since, or undefined at the end; waits, with a promise, only where nothing has come.
   * @throws where the body broke off
   */
  readonly next: () => Buffer | Promise<Buffer | undefined>;
}

/** Starts to read a body. It does so without its iterator, which makes several promises a piece. */
export function createPieces(body: Readable): Pieces {
  let hasEnded = false;
  let failure: Error | undefined;
  let wake = () => {};
  body.on('readable', () => wake());
  body.on('end', () => {
    hasEnded = true;
    wake();
  });
  body.on('error', (error) => {
    failure ??= error;
    wake();
  });
  body.on('close', () => {
    if (!hasEnded) failure ??= new Error('the body was closed before its end');
    wake();
  });

  const read = (): Buffer | undefined => {
    const piece: unknown = body.destroyed ? undefined : body.read();
    return Buffer.isBuffer(piece) ? piece : undefined;
  };
  const wait = async (): Promise<Buffer | undefined> => {
    for (;;) {
      if (failure !== undefined) throw failure;
      const piece = read();
      if (piece !== undefined || hasEnded) return piece;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { next: () => read() ?? wait() };
}
