import { Client, type Dispatcher } from 'undici';

/** A request of the load. */
export interface LoadRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Connections to a server, each with one request at a time. */
export interface HttpLoad {
  /** @returns the milliseconds to the first byte of the answer's body */
  readonly send: (connection: number, request: LoadRequest) => Promise<number | undefined>;
  readonly close: () => Promise<void>;
}

const TIMEOUT_MS = 60_000;

/** Returns a JSON request that acts with a bearer token. */
export function asBearer(token: string, method: LoadRequest['method'], path: string, body?: object): LoadRequest {
  const headers = { authorization: `Bearer ${token}` };
  if (body === undefined) return { method, path, headers };
  return { method, path, headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/**
 * Sends one request without the conveniences of a client library, which would cost more than the server.
 * @throws for anything but a 2xx: a benchmark of refusals would be none
 */
function dispatch(client: Dispatcher, request: LoadRequest): Promise<number | undefined> {
  const { headers, ...options } = request;
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let status = 0;
    let first: number | undefined;
    let refusal = '';
    client.dispatch(
      { ...options, ...(headers && { headers: { ...headers } }) },
      {
        onConnect: () => {},
        onError: reject,
        onHeaders: (code) => {
          status = code;
          return true;
        },
        onData: (chunk) => {
          first ??= performance.now() - start;
          if (status >= 300) refusal += String(chunk);
          return true;
        },
        onComplete: () => {
          if (status < 300) return resolve(first);
          reject(new Error(`${request.method} ${request.path} was answered with ${status}: ${refusal.slice(0, 300)}`));
        },
      },
    );
  });
}

/** Opens connections to a server. @param origin its address, with or without a path */
export function openHttpLoad(origin: string, connections: number): HttpLoad {
  const clients = Array.from({ length: connections }, () => {
    const options = {
      pipelining: 1,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      keepAliveTimeout: TIMEOUT_MS,
    };
    return new Client(new URL(origin).origin, options);
  });
  return {
    send: async (connection, request) => {
      const client = clients[connection];
      if (client === undefined) throw new Error(`there is no connection ${connection}`);
      return dispatch(client, request);
    },
    close: async () => void (await Promise.all(clients.map((client) => client.destroy()))),
  };
}
