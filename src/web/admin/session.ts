import { computed, effect, signal } from '@preact/signals';
import type { Static } from '@sinclair/typebox';
import type { AdminTokenSchema, OwnAdminSchema } from '../../features/admin/session/session-schemas.js';
import { sendOpenly } from '../foundation/api/api.js';
import { ApiFailure, readField } from '../foundation/api/failure.js';
import { createTokenSession } from '../foundation/session/token-session.js';

export type SignedIn = Static<typeof AdminTokenSchema>;
export type Me = Static<typeof OwnAdminSchema>;

/** Kept for this tab until it is closed, so that loading the page again does not sign anybody out. */
const STORED = 'tokenledger.admin-session';

const session = createTokenSession<SignedIn>();
/** The API as the admin who is signed in. */
export const { api, current, begin } = session;

/** Who is signed in, as far as that was asked for. */
export const me = signal<Me | undefined>();
/** Why nobody is signed in, as far as the page was left by somebody. */
export const leaving = signal<'ended' | 'signedOut' | 'unreached' | undefined>();
/** Whether the admin may change something, and may manage admins; the server decides again. */
export const mayAct = computed(() => ['operator', 'owner'].includes(current.value?.role ?? ''));
export const isOwner = computed(() => current.value?.role === 'owner');

function isSignedIn(value: unknown): value is SignedIn {
  return typeof readField(value, 'token') === 'string' && typeof readField(value, 'role') === 'string';
}

/** Goes on with the session of this tab, where it had one. */
export function resumeSession(): void {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? 'null');
    if (isSignedIn(kept)) begin(kept);
  } catch {
    // What is kept is no session: whoever it is signs in again.
  }
  effect(() => {
    if (current.value === undefined) sessionStorage.removeItem(STORED);
    else {
      sessionStorage.setItem(STORED, JSON.stringify(current.value));
      // Whoever is signed in no longer, without having signed out, is told so.
      leaving.value = 'ended';
    }
  });
}

/** Asks who is signed in. */
export async function loadMe(): Promise<void> {
  me.value = await api.get<Me>('admin/me');
}

/**
 * Begins a session.
 * @throws {ApiFailure} SECOND_FACTOR_REQUIRED where a code is missing
 */
export async function signIn(username: string, password: string, totp: string): Promise<void> {
  const code = totp.trim();
  const answer = await sendOpenly<SignedIn>('admin/login', {
    username: username.trim(),
    password,
    ...(code !== '' && { totp: code }),
  });
  begin(answer);
}

/** Ends the session, or every one of this admin; this tab forgets its own in any case. */
export async function signOut(all = false): Promise<void> {
  let isKnown = true;
  try {
    await api.post('admin/logout', { all });
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    isKnown = error.status === 401;
  } finally {
    session.forget();
    me.value = undefined;
    leaving.value = isKnown ? 'signedOut' : 'unreached';
  }
}
