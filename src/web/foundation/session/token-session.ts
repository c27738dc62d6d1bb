import { type ReadonlySignal, signal } from '@preact/signals';
import { type Api, createApi } from '../api/api.js';
import { ApiFailure } from '../api/failure.js';

/** A session of one bearer that nothing renews, such as an admin's: in memory only, gone with the page. */
export interface TokenSession<Answer> {
  /** What signing in answered; undefined while nobody is signed in. */
  readonly current: ReadonlySignal<Answer | undefined>;
  readonly api: Api;
  readonly begin: (answer: Answer) => void;
  readonly forget: () => void;
}

/** Creates one; a request whose bearer is refused ends it with SESSION_ENDED. */
export function createTokenSession<Answer extends { readonly token: string }>(): TokenSession<Answer> {
  const current = signal<Answer | undefined>();
  const forget = (): void => {
    current.value = undefined;
  };
  const renew = async (): Promise<void> => {
    forget();
    throw new ApiFailure('', 'SESSION_ENDED', { status: 401 });
  };
  const begin = (answer: Answer): void => {
    current.value = answer;
  };
  return { current, api: createApi({ token: () => current.value?.token, renew }), begin, forget };
}
