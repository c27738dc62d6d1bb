import { sendOpenly } from '../foundation/api/api.js';
import { ApiFailure } from '../foundation/api/failure.js';
import { toQuery } from '../foundation/api/send.js';
import { keepSession, type SignedIn } from '../foundation/session/person-session.js';
import type { Provider, SignInOptions } from './options.js';

/** Where a sign-in under way is remembered, in this tab, until it comes back. */
const STORED = 'tokenledger.sign-in';

interface Flow {
  /** Comes back with the answer: another's sign-in is not taken for this one. */
  readonly state: string;
  /** PKCE (RFC 7636): proves that the code is this tab's. */
  readonly verifier: string;
  readonly redirectUri: string;
}

const toBase64Url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

const createSecret = () => toBase64Url(crypto.getRandomValues(new Uint8Array(32)));

/** Derives what the server is told of the verifier; undefined where the browser cannot, over plain HTTP elsewhere. */
async function deriveChallenge(verifier: string): Promise<string | undefined> {
  const subtle: SubtleCrypto | undefined = crypto.subtle;
  if (subtle === undefined) return undefined;
  return toBase64Url(new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(verifier))));
}

/** Leaves for a provider, which sends the browser back to the page `signed-in`. */
export async function beginSignIn(provider: Provider, { signed_in_page }: SignInOptions): Promise<void> {
  const flow: Flow = { state: createSecret(), verifier: createSecret(), redirectUri: signed_in_page };
  sessionStorage.setItem(STORED, JSON.stringify(flow));
  const code_challenge = await deriveChallenge(flow.verifier);
  const challenge = code_challenge === undefined ? {} : { code_challenge, code_challenge_method: 'S256' };
  location.assign(
    `api/auth/oauth/${provider}${toQuery({ redirect_uri: flow.redirectUri, state: flow.state, ...challenge })}`,
  );
}

function takeFlow(): Flow | undefined {
  const stored = sessionStorage.getItem(STORED);
  sessionStorage.removeItem(STORED);
  return stored === null ? undefined : JSON.parse(stored);
}

/**
 * Finishes a sign-in with what the browser came back with.
 * @throws {ApiFailure} NOT_BEGUN_HERE for one that this tab did not begin
 */
export async function finishSignIn(code: string, state: string | null): Promise<void> {
  const flow = takeFlow();
  if (flow === undefined || flow.state !== state) throw new ApiFailure('', 'NOT_BEGUN_HERE');
  const proof = crypto.subtle === undefined ? {} : { code_verifier: flow.verifier };
  keepSession(await sendOpenly<SignedIn>('auth/oauth/token', { code, ...proof, redirect_uri: flow.redirectUri }));
}
