import { useCallback, useEffect, useState } from 'preact/hooks';
import { ApiFailure } from '../api/failure.js';

/** What a view asked for: the answer so far, and how it stands with the next one. */
export interface Loaded<T> {
  /** The newest answer; it stays while another is loaded. */
  readonly data: T | undefined;
  readonly failure: ApiFailure | undefined;
  readonly loading: boolean;
  /** Asks again. */
  readonly reload: () => void;
  /** Replaces the answer by what an action made of it. */
  readonly change: (data: T) => void;
}

interface State<T> {
  readonly data?: T | undefined;
  readonly failure?: ApiFailure | undefined;
  readonly loading: boolean;
}

/**
 * Loads something for a view, and again when what it depends on changes; a newer request stops the older one.
 *
 * @param load asks the server; what it needs besides the signal must be in `needs`
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, needs: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<State<T>>({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    setState(({ data }) => ({ data, loading: true }));
    load(signal).then(
      (data) => signal.aborted || setState({ data, loading: false }),
      (error: unknown) => {
        if (signal.aborted) return;
        if (!(error instanceof ApiFailure)) throw error;
        setState(({ data }) => ({ data, failure: error, loading: false }));
      },
    );
    return () => controller.abort();
  }, [...needs, round]);
  const reload = useCallback(() => setRound((count) => count + 1), []);
  const change = useCallback((data: T) => setState((before) => ({ ...before, data })), []);
  return { data: state.data, failure: state.failure, loading: state.loading, reload, change };
}
