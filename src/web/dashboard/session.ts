import { ApiFailure, readField, readText } from './answers.js';
import { answered, type Call, send, sendForJson } from './api.js';

/**
 * The refresh token is kept for this tab until it is closed, so that loading the page again does not sign anybody out.
 * Other tabs and a browser started anew do not see it, and each use of it ends it. The access token, which opens
 * everything for days, is in this module's memory only.
 */
const STORED = 'tokenledger.refresh-token';
const ENDED = 'Your session has ended. Sign in again.';

/** A tab made as a copy of another begins with the same refresh token: who uses it tells the other the next one. */
const copies = new BroadcastChannel('tokenledger.refresh-token');

let accessToken: string | undefined;
let renewal: Promise<string> | undefined;

copies.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
  const mine = sessionStorage.getItem(STORED);
  if (mine !== null && readField(data, 'used') === mine) sessionStorage.setItem(STORED, readText(data, 'next'));
});

/** Keeps the tokens of an answer; says whose they are. */
function keep(answer: unknown): string {
  accessToken = readText(answer, 'token');
  sessionStorage.setItem(STORED, readText(answer, 'refresh_token'));
  return readText(readField(answer, 'user'), 'email');
}

function forget(): void {
  accessToken = undefined;
  sessionStorage.removeItem(STORED);
}

async function exchange(): Promise<string> {
  const used = sessionStorage.getItem(STORED);
  if (used === null) throw new ApiFailure(ENDED, 'SESSION_ENDED', 401);
  try {
    const answer = await sendForJson('auth/refresh', { method: 'POST', body: { refresh_token: used } });
    copies.postMessage({ used, next: readText(answer, 'refresh_token') });
    return keep(answer);
  } catch (error) {
    if (!(error instanceof ApiFailure && error.status === 401)) throw error;
    forget();
    throw new ApiFailure(ENDED, 'SESSION_ENDED', 401);
  }
}

/** Gets new tokens, once for all who wait for them. */
function renew(): Promise<string> {
  renewal ??= exchange().finally(() => {
    renewal = undefined;
  });
  return renewal;
}

/**
 * Begins a session; answers the person's e-mail address.
 * @throws {ApiFailure} with the server's sentence
 */
export async function signIn(email: string, password: string): Promise<string> {
  return keep(await sendForJson('auth/login', { method: 'POST', body: { email, password } }));
}

/** Whether this tab was signed in when it was left. */
export function wasSignedIn(): boolean {
  return sessionStorage.getItem(STORED) !== null;
}

/**
 * Goes on with the session of this tab; answers the person's e-mail address.
 * @throws {ApiFailure} SESSION_ENDED where it cannot
 */
export function resume(): Promise<string> {
  return renew();
}

/**
 * Sends a request as the person; an access token that has expired is renewed.
 * @throws {ApiFailure} SESSION_ENDED when one has to sign in again
 */
export async function sendSigned(path: string, call: Call = {}): Promise<Response> {
  const token = accessToken;
  try {
    return await send(path, { ...call, token });
  } catch (error) {
    if (!(error instanceof ApiFailure && error.status === 401)) throw error;
    // Another request may have renewed it meanwhile.
    if (accessToken === token) await renew();
    return send(path, { ...call, token: accessToken });
  }
}

/** Asks for JSON as the person. */
export async function loadJson(path: string, signal: AbortSignal): Promise<unknown> {
  const response = await sendSigned(path, { signal });
  return answered<unknown>(response.json());
}

/** Ends the session; answers whether the server knows. Without it this tab forgets the session all the same. */
export async function signOut(): Promise<boolean> {
  try {
    await sendSigned('auth/logout', { method: 'POST' });
    return true;
  } catch (error) {
    return error instanceof ApiFailure && error.status === 401;
  } finally {
    forget();
  }
}
