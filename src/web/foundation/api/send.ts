import { ApiFailure, readField } from './failure.js';

const PATIENCE_MS = 30_000;
/** How often a reading is sent again that the server was too busy for, and how long it waits for that at most. */
const RETRIES = 2;
const LONGEST_PAUSE_S = 3;
const BUSY = [429, 503];

/** What stands behind the question mark; undefined and empty values are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A request to this server. */
export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly query?: Query | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Bearer of the request. */
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Gives up when it fires, and after half a minute without an answer in any case, unless `endless`. */
  readonly signal?: AbortSignal | undefined;
  /** For streams, whose answer goes on. */
  readonly endless?: boolean;
}

/** Writes a query, with its question mark; an empty one is nothing. */
export function toQuery(query: Query = {}): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  // A comma may stand there as it is, which is easier to read.
  const text = String(new URLSearchParams(entries.map(([name, value]) => [name, String(value)]))).replaceAll(
    '%2C',
    ',',
  );
  return text === '' ? '' : `?${text}`;
}

function parseRetryAfter(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : undefined;
}

/** Reads a refusal; a gateway in between may have answered something else than JSON. */
async function readFailure(response: Response): Promise<ApiFailure> {
  const body: unknown = await response.json().catch(() => undefined);
  const [sentence, code] = [readField(body, 'message'), readField(body, 'code')];
  const { status } = response;
  return new ApiFailure(typeof sentence === 'string' ? sentence : '', typeof code === 'string' ? code : '', {
    status,
    retryAfter: parseRetryAfter(response),
    body,
  });
}

/** Waits for an answer; a connection that breaks is a failure like any other. */
export async function answered<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof ApiFailure ? error : new ApiFailure('', 'NO_ANSWER');
  }
}

function toSignal({ signal, endless }: Call): AbortSignal | null {
  if (endless === true) return signal ?? null;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  return signal === undefined ? patience : AbortSignal.any([signal, patience]);
}

function sendOnce(path: string, call: Call): Promise<Response> {
  const headers = new Headers(call.headers);
  if (call.token !== undefined) headers.set('authorization', `Bearer ${call.token}`);
  if (call.body !== undefined) headers.set('content-type', 'application/json');
  const request = fetch(`api/${path}${toQuery(call.query)}`, {
    method: call.method ?? 'GET',
    headers,
    ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    credentials: 'omit',
    cache: 'no-store',
    signal: toSignal(call),
  });
  return answered(request);
}

/**
 * Sends a request; no cookie goes with it. A reading that finds the server busy is sent again when it said so.
 *
 * @param path below `api/`
 * @throws {ApiFailure} for every answer that is no success, and for none
 */
export async function send(path: string, call: Call = {}): Promise<Response> {
  const isReading = (call.method ?? 'GET') === 'GET';
  for (let attempt = 0; ; attempt++) {
    const response = await sendOnce(path, call);
    if (response.ok || response.status === 304) return response;
    const pause = parseRetryAfter(response);
    const isWorthIt = isReading && attempt < RETRIES && BUSY.includes(response.status);
    if (!isWorthIt || pause === undefined || pause > LONGEST_PAUSE_S) throw await readFailure(response);
    await new Promise((resolve) => setTimeout(resolve, pause * 1_000));
  }
}

/**
 * Reads the JSON of an answer; one without content is null.
 * @throws {ApiFailure} UNEXPECTED for what a gateway in between made up
 */
export async function readJson<T>(response: Response): Promise<T> {
  const text = await answered(response.text());
  try {
    return JSON.parse(text === '' ? 'null' : text);
  } catch {
    throw new ApiFailure('', 'UNEXPECTED');
  }
}
