import { TokenledgerError } from './errors.js';
import type { Locks } from './locks.js';
import type { Store } from './storage.js';
import { type Call, readJson, type Send } from './transport.js';
import type { SignedIn, SignUpBody, User } from './types.js';

/** A session as it is kept; shared by all windows. */
interface Session {
  readonly token: string;
  readonly refreshToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly user: User;
}

/** A sign-in at Google or GitHub that was begun; it survives that a service worker ends meanwhile. */
interface Flow {
  readonly state: string;
  readonly verifier: string;
  readonly redirectUri: string;
}

/** The person who uses the extension. */
export interface Account {
  /** Opens an account and signs in. */
  readonly signUp: (body: SignUpBody) => Promise<User>;
  /** @throws {TokenledgerError} INVALID_CREDENTIALS; SECOND_FACTOR_REQUIRED, for {@link sendCode} */
  readonly signIn: (email: string, password: string) => Promise<User>;
  /**
   * Finishes a sign-in that waits for the code of a second factor.
   * @param asked what the sign-in threw: SECOND_FACTOR_REQUIRED
   * @param code what the authenticator app shows, or a recovery code
   * @throws {TokenledgerError} INVALID_SECOND_FACTOR; INVALID_CHALLENGE where the sign-in has to be begun again
   */
  readonly sendCode: (asked: TokenledgerError, code: string) => Promise<User>;
  /**
   * Begins to sign in with a provider.
   * @param redirectUri where the answer is to go; one of the server's `OAUTH_REDIRECT_URIS`
   * @returns the address to open in a browser
   */
  readonly beginSignIn: (provider: 'google' | 'github', redirectUri: string) => Promise<string>;
  /**
   * Finishes what {@link beginSignIn} began.
   * @param address what the browser came back to; undefined where it did not, as `launchWebAuthFlow` may have it
   * @throws {TokenledgerError} SIGN_IN_FAILED, INVALID_GRANT; SECOND_FACTOR_REQUIRED, for {@link sendCode}
   */
  readonly finishSignIn: (address: string | undefined) => Promise<User>;
  /** Forgets the session here, and ends it at the server; without an answer of the server it is forgotten all the same. */
  readonly signOut: () => Promise<void>;
  /** Who is signed in, as the server said it last; undefined for nobody. */
  readonly user: () => Promise<User | undefined>;
  /** Asks the server for the person, with their balance. */
  readonly profile: () => Promise<User>;
  /**
   * Returns an access token that is good for another minute at least, for requests of your own.
   * @throws {TokenledgerError} SIGNED_OUT
   */
  readonly token: () => Promise<string>;
  /** Sends a request as the person, with a new token where the old one is over. */
  readonly send: Send;
}

const MARGIN_MS = 60_000;

function base64Url(bytes: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Makes up a secret of 244 bits, in characters that fit into addresses. */
export const createSecret = () => crypto.randomUUID() + crypto.randomUUID();

async function deriveChallenge(verifier: string): Promise<string> {
  return base64Url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
}

export interface AccountOptions {
  readonly baseUrl: string;
  readonly send: Send;
  readonly store: Store;
  readonly locks: Locks;
  /** An API key (`tlk_…`) to be used instead of a session. */
  readonly apiKey?: string | undefined;
  /** Is told who is signed in after each sign-in, sign-out and end of a session in this window. */
  readonly onAccountChange?: ((user: User | undefined) => void) | undefined;
}

/** Creates what signs people in, and keeps their session going. */
export function createAccount({ send, store, locks, apiKey, ...options }: AccountOptions): Account {
  /** What could not be kept: this window goes on with it, the next one refreshes again. */
  let unsaved: Session | undefined;

  const load = async () => unsaved ?? (await store.read<Session>('session'));

  async function keep({ token, refresh_token, expires_in, user }: SignedIn): Promise<Session> {
    const session = { token, refreshToken: refresh_token, expiresAt: Date.now() + expires_in * 1_000, user };
    unsaved = undefined;
    await store.write('session', session).catch(() => {
      unsaved = session;
    });
    return session;
  }

  async function forget(): Promise<void> {
    unsaved = undefined;
    await store.remove('session');
    options.onAccountChange?.(undefined);
  }

  /** Opens a session; in turn with refreshes, as one of those would write over it. */
  async function open(path: string, body: object, repeat: Call['repeat'] = 'refused'): Promise<User> {
    const { user } = await locks.request('session', async () =>
      keep(await send(path, { body, repeat }, readJson<SignedIn>)),
    );
    options.onAccountChange?.(user);
    return user;
  }

  /**
   * Gets the next tokens, once for all windows. When the answer is lost, the same refresh token brings the same ones
   * again, also after a restart; nothing is sent with a successor before it is kept.
   */
  function refresh(worn: Session): Promise<string> {
    return locks.request('session', async () => {
      const session = await load();
      if (!session) throw signedOut();
      // Access tokens of one second are the same text.
      if (session.refreshToken !== worn.refreshToken) return session.token;
      try {
        const body = { refresh_token: session.refreshToken };
        return (await keep(await send('/auth/refresh', { body }, readJson<SignedIn>))).token;
      } catch (error) {
        if (!isUnauthorized(error)) throw error;
        await forget();
        throw signedOut(error);
      }
    });
  }

  const signedOut = (cause?: unknown) => new TokenledgerError('SIGNED_OUT', 'Sign in first', { status: 401, cause });

  const isUnauthorized = (error: unknown) => error instanceof TokenledgerError && error.status === 401;

  const isWorn = ({ expiresAt }: Session) => expiresAt - MARGIN_MS <= Date.now();

  async function token(): Promise<string> {
    if (apiKey) return apiKey;
    const session = await load();
    if (!session) throw signedOut();
    return isWorn(session) ? refresh(session) : session.token;
  }

  const sendAsPerson: Send = async (path, call, read) => {
    const session = apiKey ? undefined : await load();
    try {
      return await send(path, { ...call, token: await token() }, read);
    } catch (error) {
      if (!session || isWorn(session) || !isUnauthorized(error)) throw error;
      return send(path, { ...call, token: await refresh(session) }, read);
    }
  };

  return {
    signUp: (body) => open('/auth/register', body),
    signIn: (email, password) => open('/auth/login', { email, password }, 'lost'),
    sendCode: ({ body: { challenge } }, totp) => open('/auth/second-factor', { challenge, totp }),
    beginSignIn: async (provider, redirectUri) => {
      const flow: Flow = { state: createSecret(), verifier: createSecret(), redirectUri };
      await store.write('flow', flow);
      const query = new URLSearchParams({
        redirect_uri: redirectUri,
        state: flow.state,
        code_challenge: await deriveChallenge(flow.verifier),
        code_challenge_method: 'S256',
      });
      return `${options.baseUrl.replace(/\/+$/, '')}/auth/oauth/${provider}?${query}`;
    },
    finishSignIn: async (address) => {
      const answer = new URL(address ?? 'about:').searchParams;
      const flow = await store.read<Flow>('flow');
      const code = answer.get('code');
      // Anybody can make a browser open such an address: what stands in one that was not asked for is not shown.
      const isAsked = flow && answer.get('state') === flow.state;
      if (!isAsked || !code) {
        const reason = (isAsked && answer.get('error_description')) || 'The sign-in was not finished';
        throw new TokenledgerError('SIGN_IN_FAILED', reason, { body: { error: answer.get('error') } });
      }
      await store.remove('flow');
      const body = { code, code_verifier: flow.verifier, redirect_uri: flow.redirectUri };
      return open('/auth/oauth/token', body);
    },
    signOut: () =>
      locks.request('session', async () => {
        const session = await load();
        await forget();
        if (!session) return;
        // The access token may be over; this one ends its session however old it is.
        await send('/auth/logout', { body: { refresh_token: session.refreshToken } }, readJson).catch(() => {});
      }),
    user: async () => (await load())?.user,
    profile: () => sendAsPerson('/users/me', {}, readJson<User>),
    token,
    send: sendAsPerson,
  };
}
