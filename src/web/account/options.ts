import type { Static } from '@sinclair/typebox';
import type { SignInOptionsSchema } from '../../auth/options/schemas.js';
import { sendOpenly } from '../foundation/api/api.js';
import { type Loaded, useLoad } from '../foundation/hooks/use-load.js';

/** Who may have an account here, and the ways to sign in. */
export type SignInOptions = Static<typeof SignInOptionsSchema>;

/** A service people may sign in with. */
export type Provider = SignInOptions['providers'][number];

/** Loads what this server offers to those who are not signed in. */
export function useSignInOptions(): Loaded<SignInOptions> {
  return useLoad(() => sendOpenly<SignInOptions>('auth/options'), []);
}
