import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Test } from 'tap';
import { until } from '../until.js';

/** What a receiver got. */
export interface ReceivedEvent {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** How a receiver answers. */
type Answer = { readonly status: number; readonly headers?: Record<string, string> };

/** Opens an HTTP server that keeps what it is sent. @param answer is given how many requests there were, and the event */
export async function openWebhookReceiver(
  t: Test,
  answer: (count: number, event: ReceivedEvent) => Answer = () => ({ status: 204 }),
) {
  const received: ReceivedEvent[] = [];
  const server = createServer(async (request, response) => {
    const body = (await request.setEncoding('utf8').toArray()).join('');
    const { type, data } = JSON.parse(body);
    const event = { headers: request.headers, body, type, data };
    received.push(event);
    const { status, headers } = answer(received.length, event);
    response.writeHead(status, headers).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port }: AddressInfo = Object(server.address());
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    /** Waits until so many requests came. */
    get: (count: number) => until(`${count} events`, async () => (received.length >= count ? received : undefined)),
  };
}

/** Checks a signature with the published library of Standard Webhooks. @throws where it is not good */
export function verifySignature(secret: string, { headers, body }: ReceivedEvent): void {
  new Webhook(secret).verify(body, {
    'webhook-id': String(headers['webhook-id']),
    'webhook-timestamp': String(headers['webhook-timestamp']),
    'webhook-signature': String(headers['webhook-signature']),
  });
}
