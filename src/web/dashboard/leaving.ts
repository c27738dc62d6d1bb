import { signal } from '@preact/signals';

/** Why the form to sign in is there: somebody signed out, deleted the account, or the session ended. */
export const leaving = signal<'signedOut' | 'unreached' | 'ended' | 'deleted' | undefined>();
