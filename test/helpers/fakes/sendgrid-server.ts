import { createServer, type IncomingHttpHeaders } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Test } from 'tap';
import { until } from '../until.js';

/** What SendGrid's API answers instead of taking a mail. */
export interface SendGridRefusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
}

/** A request as it arrived. */
export interface SendGridRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

/** Starts what answers like SendGrid's `POST /v3/mail/send`, on loopback; it ends with the test. */
export async function openSendGrid(
  t: Test,
  refuse: (count: number) => SendGridRefusal | undefined = () => undefined,
): Promise<{
  readonly url: string;
  readonly requests: readonly SendGridRequest[];
  readonly request: (n: number) => Promise<SendGridRequest>;
}> {
  const requests: SendGridRequest[] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      requests.push({ path: `${request.method} ${request.url}`, headers: request.headers, body });
      const refusal = refuse(requests.length);
      if (refusal === undefined) return response.writeHead(202, { 'x-message-id': 'fake' }).end();
      const headers = { 'content-type': 'application/json', ...refusal.headers };
      return response.writeHead(refusal.status, headers).end(JSON.stringify(refusal.body ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    request: (n) => until(`request ${n} arrives`, () => requests[n - 1]),
  };
}
