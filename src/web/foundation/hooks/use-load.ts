import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
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
  /** The question that was answered last, or could not be. */
  readonly answered?: object;
}

/**
 * Loads something for a view, and again when what it depends on changes; a newer request stops the older one. That it is
 * loading is told from the moment on that what it depends on is another: an older answer is never shown as if it were the
 * new one.
 *
 * @param load asks the server; what it needs besides the signal must be in `needs`
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, needs: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<State<T>>({});
  const [round, setRound] = useState(0);
  const question = useMemo(() => ({}), [...needs, round]);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    load(signal).then(
      (data) => signal.aborted || setState({ data, answered: question }),
      (error: unknown) => {
        if (signal.aborted) return;
        if (!(error instanceof ApiFailure)) throw error;
        setState(({ data }) => ({ data, failure: error, answered: question }));
      },
    );
    return () => controller.abort();
  }, [question]);
  const reload = useCallback(() => setRound((count) => count + 1), []);
  const change = useCallback((data: T) => setState((before) => ({ ...before, data })), []);
  const loading = state.answered !== question;
  return { data: state.data, failure: loading ? undefined : state.failure, loading, reload, change };
}
