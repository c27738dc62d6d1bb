import { ApiFailure, readField } from './answers.js';

const PATIENCE_MS = 30_000;
const NO_ANSWER = 'The server did not answer. Check your connection and try again.';

/** A request to this server. */
export interface Call {
  readonly method?: 'GET' | 'POST';
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Bearer of the request. */
  readonly token?: string | undefined;
  /** Gives up when it fires; without one, after half a minute. */
  readonly signal?: AbortSignal;
}

/** The sentence of a refusal; a gateway in between may have answered something else than JSON. */
async function readFailure(response: Response): Promise<ApiFailure> {
  const body: unknown = await response.json().catch(() => undefined);
  const sentence = readField(body, 'message');
  const code = readField(body, 'code');
  return new ApiFailure(
    typeof sentence === 'string' ? sentence : `The server answered with an error (${response.status}).`,
    typeof code === 'string' ? code : '',
    response.status,
  );
}

/** Waits for an answer; a connection that breaks is a failure like any other. */
export async function answered<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ApiFailure ? error : new ApiFailure(NO_ANSWER, 'NO_ANSWER');
  }
}

/**
 * Sends a request; no cookie goes with it.
 *
 * @param path below `api/`
 * @throws {ApiFailure} for every answer that is no success, and for none
 */
export async function send(path: string, call: Call): Promise<Response> {
  const headers = new Headers();
  if (call.token !== undefined) headers.set('authorization', `Bearer ${call.token}`);
  if (call.body !== undefined) headers.set('content-type', 'application/json');
  const request = fetch(`api/${path}`, {
    method: call.method ?? 'GET',
    headers,
    ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    credentials: 'omit',
    cache: 'no-store',
    signal: call.signal ?? AbortSignal.timeout(PATIENCE_MS),
  });
  const response = await answered(request);
  if (response.ok) return response;
  throw await readFailure(response);
}

/** Sends a request and reads its JSON. */
export async function sendForJson(path: string, call: Call): Promise<unknown> {
  const response = await send(path, call);
  return answered<unknown>(response.json());
}
