import { setMaxListeners } from 'node:events';
import { Pool } from 'undici';

const TIMEOUT_MS = 30_000;

/** An answer of the server. */
export interface Reply {
  readonly status: number;
  /** How long the server asks to wait before the next attempt. */
  readonly retryAfterMs: number | undefined;
  readonly body: string;
}

/** Connections that are used again and again. */
export interface Connections {
  /** Posts JSON text; rejects when the connection breaks before the whole answer is there. */
  readonly post: (path: string, headers: Readonly<Record<string, string>>, body: string) => Promise<Reply>;
  /** Aborted once the connections are closed. */
  readonly closed: AbortSignal;
  readonly close: () => Promise<void>;
}

function parseRetryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number(header ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1_000 : undefined;
}

/** Opens keep-alive connections to an API, at most `most` at a time. */
export function openConnections(api: URL, most: number): Connections {
  const pool = new Pool(api.origin, {
    connections: most,
    connect: { timeout: TIMEOUT_MS },
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  });
  const closing = new AbortController();
  // Every request that waits for its next attempt listens.
  setMaxListeners(0, closing.signal);
  return {
    post: async (path, headers, body) => {
      const answer = await pool.request({
        method: 'POST',
        path: api.pathname + path,
        headers: { ...headers, 'content-type': 'application/json' },
        body,
      });
      return {
        status: answer.statusCode,
        retryAfterMs: parseRetryAfter(answer.headers['retry-after']),
        body: await answer.body.text(),
      };
    },
    closed: closing.signal,
    close: () => {
      closing.abort();
      return pool.destroy();
    },
  };
}
