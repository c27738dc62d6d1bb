import { ApiFailure } from './failure.js';
import { type Call, type Query, readJson, send } from './send.js';

/** How requests say who sends them. */
export interface Credentials {
  /** The bearer, where there is one by now. */
  readonly token: () => string | undefined;
  /**
   * Gets another bearer after one that was refused, once for all who wait for it.
   * @throws {ApiFailure} SESSION_ENDED where one has to sign in again
   */
  readonly renew: () => Promise<void>;
}

/** The server's API for one who is signed in. Paths are below `api/`; answers are typed by whoever asks. */
export interface Api {
  readonly send: (path: string, call?: Call) => Promise<Response>;
  readonly get: <T>(path: string, query?: Query, signal?: AbortSignal) => Promise<T>;
  readonly post: <T>(path: string, body?: unknown, headers?: Call['headers']) => Promise<T>;
  readonly put: <T>(path: string, body?: unknown, headers?: Call['headers']) => Promise<T>;
  readonly patch: <T>(path: string, body?: unknown) => Promise<T>;
  readonly delete: <T>(path: string, body?: unknown) => Promise<T>;
}

/** Codes of refusals that are about what was typed, not about the bearer. */
const ABOUT_WHAT_WAS_TYPED = ['INVALID_CREDENTIALS', 'INVALID_SECOND_FACTOR', 'SECOND_FACTOR_REQUIRED'];

function isBearerRefused(error: unknown): boolean {
  return error instanceof ApiFailure && error.status === 401 && !ABOUT_WHAT_WAS_TYPED.includes(error.code);
}

/** Creates the client; a bearer that has expired is renewed, and the request sent again. */
export function createApi({ token, renew }: Credentials): Api {
  const sendSigned: Api['send'] = async (path, call = {}) => {
    const bearer = token();
    try {
      return await send(path, { ...call, token: bearer });
    } catch (error) {
      if (!isBearerRefused(error)) throw error;
      // Another request may have renewed it meanwhile.
      if (token() === bearer) await renew();
      return send(path, { ...call, token: token() });
    }
  };
  const sendForJson = async <T>(path: string, call: Call): Promise<T> => readJson<T>(await sendSigned(path, call));
  return {
    send: sendSigned,
    get: (path, query, signal) => sendForJson(path, { query, signal }),
    post: (path, body, headers = {}) => sendForJson(path, { method: 'POST', body, headers }),
    put: (path, body, headers = {}) => sendForJson(path, { method: 'PUT', body, headers }),
    patch: (path, body) => sendForJson(path, { method: 'PATCH', body }),
    delete: (path, body) => sendForJson(path, { method: 'DELETE', body }),
  };
}

/** Sends something to the API that needs no sign-in, and reads its JSON. */
export async function sendOpenly<T>(path: string, body?: unknown): Promise<T> {
  return readJson<T>(await send(path, body === undefined ? {} : { method: 'POST', body }));
}
