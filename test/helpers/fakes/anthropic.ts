import type { ServerResponse } from 'node:http';
import { type Answering, startStream, streaming, whole } from './openrouter.js';

/** Returns an event as Anthropic's API sends it: its name is its type. */
export const event = (data: { readonly type: string } & Readonly<Record<string, unknown>>): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

/** What upstream counts of a message; only what was not cached is `input_tokens`. */
export const toMessageUsage = (input: number | null, output: number, cached = 0) => ({
  input_tokens: input,
  cache_creation_input_tokens: null,
  cache_read_input_tokens: cached,
  cache_creation: null,
  output_tokens: output,
  output_tokens_details: null,
  server_tool_use: null,
});

const HEAD = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'anthropic/claude-sonnet-4',
  provider: 'Anthropic',
};

export const messageStart = (usage: object = toMessageUsage(12, 1), fields: object = {}): string =>
  event({
    type: 'message_start',
    message: { ...HEAD, content: [], stop_reason: null, stop_sequence: null, usage, ...fields },
  });
export const blockStart = (block: object = { type: 'text', text: '' }, index = 0): string =>
  event({ type: 'content_block_start', index, content_block: block });
export const delta = (fields: object, index = 0): string =>
  event({ type: 'content_block_delta', index, delta: fields });
export const textDelta = (text: string, index = 0): string => delta({ type: 'text_delta', text }, index);
export const blockStop = (index = 0): string => event({ type: 'content_block_stop', index });
export const messageDelta = (usage: object | undefined, stopReason: string | null = 'end_turn'): string =>
  event({ type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, ...(usage && { usage }) });
export const PING = event({ type: 'ping' });
export const MESSAGE_STOP = event({ type: 'message_stop' });
export const ERROR_EVENT = event({ type: 'error', error: { type: 'overloaded_error', message: 'internal words' } });

/** Returns a stream with one block of text. */
export const usualMessageStream = (input = 12, output = 8, text: readonly string[] = ['Hello', '!']): string =>
  [
    messageStart(toMessageUsage(input, 1)),
    blockStart(),
    PING,
    ...text.map((part) => textDelta(part)),
    blockStop(),
    messageDelta(toMessageUsage(null, output)),
    MESSAGE_STOP,
  ].join('');

/** Returns a message that comes whole. */
export const message = (
  usage: object = toMessageUsage(12, 8),
  content: readonly object[] = [{ type: 'text', text: 'Hello!' }],
) => ({
  ...HEAD,
  content,
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { ...usage, cost: 0.00014 },
});

/** Answers as the request wants it, streaming or whole. */
export const usualMessage: Answering = (response, request) =>
  (request.body['stream'] === true ? streaming(usualMessageStream()) : whole(message()))(response, request);

/** Answers with an error in Anthropic's format. */
export const refusal =
  (status: number, type: string, text: string, headers: Readonly<Record<string, string>> = {}): Answering =>
  (response: ServerResponse) => {
    const body = { type: 'error', error: { type, message: text }, request_id: 'gen-1' };
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };

/** Answers with a stream that is cut off after what is given. */
export const cutAfter =
  (body: string): Answering =>
  async (response) => {
    startStream(response);
    await new Promise((written) => response.write(body, written));
    await new Promise((turn) => setImmediate(turn));
    response.destroy();
  };
