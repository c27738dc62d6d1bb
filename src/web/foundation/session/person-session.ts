import { computed, type ReadonlySignal, signal } from '@preact/signals';
import type { Static } from '@sinclair/typebox';
import type { SessionAnswerSchema } from '../../../auth/sessions/schemas.js';
import { createApi } from '../api/api.js';
import { ApiFailure, readField } from '../api/failure.js';
import { readJson, send } from '../api/send.js';

/** Tokens of a session and whose it is, as signing in answers. */
export type SignedIn = Static<typeof SessionAnswerSchema>;

/**
 * The refresh token is kept for this tab until it is closed, so that loading the page again does not sign anybody out.
 * Other tabs and a browser started anew do not see it, and each use of it ends it. The access token, which opens
 * everything for days, is in this module's memory only.
 */
const STORED = 'tokenledger.refresh-token';
/** How long a tab waits for what its copy got, in milliseconds. */
const COPY_PATIENCE_MS = 500;

/** A tab made as a copy of another begins with the same refresh token: who uses it tells the other the next one. */
const copies = new BroadcastChannel(STORED);
const accessToken = signal<string | undefined>();
const user = signal<SignedIn['user'] | undefined>();
let renewal: Promise<void> | undefined;

/** Who is signed in, where somebody is. */
export const person: ReadonlySignal<SignedIn['user'] | undefined> = computed(() => user.value);

copies.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
  const [mine, next] = [sessionStorage.getItem(STORED), readField(data, 'next')];
  if (mine !== null && readField(data, 'used') === mine && typeof next === 'string')
    sessionStorage.setItem(STORED, next);
});

/**
 * Keeps the tokens of an answer; the person is signed in from here on.
 * @throws {ApiFailure} UNEXPECTED for an answer that has none: half a session is none
 */
export function keepSession(answer: SignedIn): void {
  const isWhole =
    typeof readField(answer, 'token') === 'string' && typeof readField(answer, 'refresh_token') === 'string';
  if (!isWhole || readField(answer, 'user') === undefined) throw new ApiFailure('', 'UNEXPECTED');
  accessToken.value = answer.token;
  sessionStorage.setItem(STORED, answer.refresh_token);
  user.value = answer.user;
}

/** Forgets the session in this tab. */
export function forgetSession(): void {
  accessToken.value = undefined;
  sessionStorage.removeItem(STORED);
  user.value = undefined;
}

/** Waits until a copy of this tab has told what follows the token, or long enough. */
async function awaitCopy(used: string): Promise<void> {
  const end = performance.now() + COPY_PATIENCE_MS;
  while (sessionStorage.getItem(STORED) === used && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function exchange(): Promise<void> {
  const used = sessionStorage.getItem(STORED);
  if (used === null) throw new ApiFailure('', 'SESSION_ENDED', { status: 401 });
  try {
    const response = await send('auth/refresh', { method: 'POST', body: { refresh_token: used } });
    const answer = await readJson<SignedIn>(response);
    copies.postMessage({ used, next: answer.refresh_token });
    keepSession(answer);
  } catch (error) {
    if (!(error instanceof ApiFailure && error.status === 401)) throw error;
    forgetSession();
    throw new ApiFailure('', 'SESSION_ENDED', { status: 401 });
  }
}

/** Exchanges the refresh token while no copy of this tab does: the same token used twice would end the session. */
async function exchangeAlone(): Promise<void> {
  // Only there over HTTPS and on this machine.
  const locks: LockManager | undefined = navigator.locks;
  const used = sessionStorage.getItem(STORED);
  if (locks === undefined || used === null) return exchange();
  const isFree = await locks.request(STORED, { ifAvailable: true }, async (lock) => {
    if (lock !== null) await exchange();
    return lock !== null;
  });
  if (isFree) return;
  await locks.request(STORED, async () => {
    await awaitCopy(used);
    await exchange();
  });
}

/** Gets new tokens, once for all who wait for them. */
function renew(): Promise<void> {
  renewal ??= exchangeAlone().finally(() => {
    renewal = undefined;
  });
  return renewal;
}

/** The API as the person who is signed in. */
export const api = createApi({ token: () => accessToken.value, renew });

/** Whether this tab was signed in when it was left. */
export function wasSignedIn(): boolean {
  return sessionStorage.getItem(STORED) !== null;
}

/**
 * Goes on with the session of this tab.
 * @throws {ApiFailure} SESSION_ENDED where it cannot
 */
export const resume = renew;

/**
 * Begins a session.
 * @throws {ApiFailure} with the server's sentence
 */
export async function signIn(email: string, password: string): Promise<void> {
  const response = await send('auth/login', { method: 'POST', body: { email, password } });
  keepSession(await readJson<SignedIn>(response));
}

/**
 * Begins the session of a sign-in that waits for the code of the second factor.
 * @param challenge what the sign-in was answered
 * @throws {ApiFailure} INVALID_SECOND_FACTOR; INVALID_CHALLENGE where it has to be begun again
 */
export async function finishSignIn(challenge: string, totp: string): Promise<void> {
  const response = await send('auth/second-factor', { method: 'POST', body: { challenge, totp } });
  keepSession(await readJson<SignedIn>(response));
}

/** Returns what a sign-in waits with for the code of a second factor; undefined for any other failure. */
export function findChallenge(failure: ApiFailure | undefined): string | undefined {
  const challenge = failure?.code === 'SECOND_FACTOR_REQUIRED' ? readField(failure.body, 'challenge') : undefined;
  return typeof challenge === 'string' ? challenge : undefined;
}

/** Ends the session; returns whether the server knows. Without it this tab forgets the session all the same. */
export async function signOut(): Promise<boolean> {
  try {
    await api.post('auth/logout');
    return true;
  } catch (error) {
    return error instanceof ApiFailure && error.status === 401;
  } finally {
    forgetSession();
  }
}
