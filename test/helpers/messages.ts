import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import type { TestUser } from './accounts.js';
import type { TestServer } from './http/test-server.js';

export const MODEL = 'anthropic/claude-sonnet-4';
/** A request in Anthropic's format. */
export const MESSAGE = { model: MODEL, max_tokens: 100, messages: [{ role: 'user', content: 'Hello! How are you?' }] };

/** Makes an API key for somebody. */
export async function createKey(user: TestUser): Promise<string> {
  return (await user.as('POST', '/api/users/me/api-keys', { name: 'test' })).json<{ key: string }>().key;
}

/** Sends a request as clients of Anthropic's do: with the key in a header of its own. */
export function sendWithKey(
  server: TestServer,
  key: string,
  url: string,
  payload?: InjectOptions['payload'],
  headers?: InjectOptions['headers'],
): Promise<LightMyRequestResponse> {
  return server.app.inject({
    method: payload === undefined ? 'GET' : 'POST',
    url,
    headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01', ...headers },
    ...(payload !== undefined && { payload }),
  });
}

/** An event of a stream in Anthropic's format. */
export interface MessageEvent {
  /** Its `event` field. */
  readonly name: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Returns the events of a stream. Comments are none. */
export function parseMessageEvents(stream: string): MessageEvent[] {
  return stream
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      const find = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      return { name: find('event'), data: JSON.parse(find('data') ?? '{}') };
    });
}
