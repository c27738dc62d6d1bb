import { useState } from 'preact/hooks';
import type { ApiFailure } from '../foundation/api/failure.js';
import { explainFailure } from '../foundation/text/failures.js';

/** What is wrong with the fields of a form, by their names. */
export interface Problems<Name extends string> {
  readonly of: (name: Name) => string | undefined;
  /** Replaces what is known; returns whether all is well. */
  readonly set: (problems: Partial<Record<Name, string | undefined>>) => boolean;
}

/**
 * Keeps what is wrong with the fields of a form.
 *
 * @param failure what the server said of the last attempt
 * @param codes which field a failure is about, by its code
 */
export function useProblems<Name extends string>(
  failure: ApiFailure | undefined,
  codes: Readonly<Record<string, Name>> = {},
): Problems<Name> {
  const [problems, setProblems] = useState<Partial<Record<Name, string | undefined>>>({});
  return {
    of: (name) => {
      const own = problems[name];
      if (own !== undefined || failure === undefined || codes[failure.code] !== name) return own;
      return explainFailure(failure);
    },
    set: (next) => {
      setProblems(next);
      return Object.values(next).every((problem) => problem === undefined);
    },
  };
}
