import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { until } from '../until.js';

/** A server-sent event. */
export interface StreamEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Record<string, number>;
}

/** A stream of server-sent events, read as it comes. */
export interface EventStream {
  readonly response: IncomingMessage;
  readonly received: () => string;
  readonly events: () => StreamEvent[];
  /** Waits for an event that fits. */
  readonly next: (event: string, data: Record<string, number>) => Promise<StreamEvent>;
  readonly isOpen: () => boolean;
  /** Resolves when the stream is over. */
  readonly ended: Promise<void>;
  readonly close: () => void;
}

function parsed(block: string): StreamEvent[] {
  const fields = new Map(
    block.split('\n').map((line): [string, string] => [line.split(': ')[0] ?? '', line.slice(line.indexOf(': ') + 2)]),
  );
  const event = fields.get('event');
  return event === undefined ? [] : [{ event, id: fields.get('id'), data: JSON.parse(fields.get('data') ?? '{}') }];
}

function request(url: string, token: string, lastEventId?: string): Promise<IncomingMessage> {
  const id = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, ...id };
    get(`${url}/api/sync/stream`, { headers, agent: false }, resolve).on('error', reject);
  });
}

/** Asks for a stream that is refused. */
export async function refusedStream(url: string, token: string) {
  const response = await request(url, token);
  const body: { code?: string } = JSON.parse(await text(response));
  return { status: response.statusCode, code: body.code };
}

/** Asks for a stream, and goes away before it is answered. */
export async function abandonedStream(url: string, token: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  const asked = get(`${url}/api/sync/stream`, { headers, agent: false }).on('error', () => {});
  await new Promise<void>((sent) => asked.once('finish', sent));
  asked.destroy();
}

/** Opens a stream over HTTP; it ends with the test. */
export async function openStream(t: Test, url: string, token: string, lastEventId?: string): Promise<EventStream> {
  const response = await request(url, token, lastEventId);
  if (response.statusCode !== 200) throw new Error(`the stream was answered ${response.statusCode}`);
  let received = '';
  let isOpen = true;
  response.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  const ended = new Promise<void>((resolve) => {
    response.on('error', () => {});
    response.once('close', () => {
      isOpen = false;
      resolve();
    });
  });
  const close = () => void response.destroy();
  t.after(close);
  const events = () => received.split('\n\n').slice(0, -1).flatMap(parsed);
  const fits = (data: Record<string, number>) => (event: StreamEvent) =>
    Object.entries(data).every(([name, value]) => event.data[name] === value);
  return {
    response,
    received: () => received,
    events,
    next: (name, data) =>
      until(`${name} ${JSON.stringify(data)} comes`, () =>
        events().find((event) => event.event === name && fits(data)(event)),
      ),
    isOpen: () => isOpen,
    ended,
    close,
  };
}
