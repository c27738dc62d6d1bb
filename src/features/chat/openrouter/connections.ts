import { type Dispatcher, Pool, util } from 'undici';
import { type AnswerBody, createIncomingBody, type IncomingBody } from './answer-body.js';

/** An HTTP request to upstream. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** Below the base URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Aborts the request, and its answer for as long as that comes. */
  readonly signal?: AbortSignal | undefined;
}

/** The beginning of an answer, whatever its status. */
export interface HttpAnswer {
  readonly status: number;
  /** Returns a header field, the first where there are several. */
  readonly header: (name: string) => string | undefined;
  readonly body: AnswerBody;
}

/** No answer has come to a request. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
  /** Whether the request was written to a connection, so that upstream may have it. */
  readonly isSent: boolean;

  constructor(isSent: boolean, cause: unknown) {
    super('no answer came', { cause });
    this.isSent = isSent;
  }
}

/** Connections to one address, which are kept for the next request. */
export interface Connections {
  /**
   * Sends a request; redirects are not followed.
   * @throws {NoAnswerError}
   */
  readonly send: (request: HttpRequest) => Promise<HttpAnswer>;
  readonly close: () => Promise<void>;
}

/** How long things may take, in milliseconds. */
interface ConnectionLimits {
  /** Longest silence before the answer begins, and within it. */
  readonly silenceMs: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;

function readHeaders(raw: Buffer[]): HttpAnswer['header'] {
  const headers = util.parseHeaders(raw);
  return (name) => {
    const value = headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
}

/** Returns what undici tells of one exchange, as an answer. */
function receive(
  signal: AbortSignal | undefined,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: NoAnswerError) => void,
): Dispatcher.DispatchHandlers {
  let isSent = false;
  let abortRequest: (() => void) | undefined;
  let body: IncomingBody | undefined;
  const abort = () => (body === undefined ? abortRequest?.() : body.destroy());
  signal?.addEventListener('abort', abort);
  const finish = () => signal?.removeEventListener('abort', abort);

  return {
    // Called when there is a connection, right before the request is written to it.
    onConnect: (abortConnection) => {
      abortRequest = () => abortConnection();
      if (signal?.aborted === true) abortRequest();
      else isSent = true;
    },
    onHeaders: (status, headers, resume) => {
      // What goes before the answer, as in "103 Early Hints", says nothing here.
      if (status < 200) return true;
      body = createIncomingBody({ resume, abort: () => abortRequest?.() });
      resolve({ status, header: readHeaders(headers), body });
      return true;
    },
    onData: (bytes) => body?.push(bytes) ?? true,
    onComplete: () => {
      finish();
      body?.end();
    },
    onError: (error) => {
      finish();
      if (body === undefined) reject(new NoAnswerError(isSent, error));
      else body.fail(error);
    },
  };
}

/** Opens connections to a base URL when they are needed. */
export function createConnections(baseUrl: string, { silenceMs }: ConnectionLimits): Connections {
  const { origin, pathname } = new URL(baseUrl);
  const base = pathname.replace(/\/$/, '');
  const pool = new Pool(origin, {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
  return {
    send: ({ method, path, headers, body, signal }) =>
      new Promise((resolve, reject) => {
        pool.dispatch(
          { method, path: `${base}${path}`, headers, body: body ?? null },
          receive(signal, resolve, reject),
        );
      }),
    close: () => pool.destroy(),
  };
}
