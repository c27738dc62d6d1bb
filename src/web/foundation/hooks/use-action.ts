import { useRef, useState } from 'preact/hooks';
import { ApiFailure } from '../api/failure.js';

/** Something a button does. */
export interface Action<Args extends readonly unknown[]> {
  /** Does it, once at a time; returns whether it succeeded. */
  readonly run: (...args: Args) => Promise<boolean>;
  readonly busy: boolean;
  readonly failure: ApiFailure | undefined;
  /** Takes back what was said about the last attempt. */
  readonly clear: () => void;
}

/** Makes an action of what a button does: it knows whether it is at work, and what went wrong. */
export function useAction<Args extends readonly unknown[]>(work: (...args: Args) => Promise<unknown>): Action<Args> {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure | undefined>();
  const running = useRef(false);
  const run = async (...args: Args): Promise<boolean> => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setFailure(undefined);
    try {
      await work(...args);
      return true;
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      setFailure(error);
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { run, busy, failure, clear: () => setFailure(undefined) };
}
