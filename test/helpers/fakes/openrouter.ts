import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';

/** A chat request as upstream sees it. */
export interface UpstreamRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
  /** The body as it came. */
  readonly text: string;
}

/** How upstream answers a chat request. */
export type Answering = (response: ServerResponse, request: UpstreamRequest) => void | Promise<void>;

/** A server on this machine that speaks OpenRouter's format. */
export interface FakeUpstream {
  /** Its address, for OPENROUTER_BASE_URL. */
  readonly url: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Chat requests so far. */
  readonly requests: UpstreamRequest[];
  /** Returns how many chat requests were cut off before their answer was complete. */
  readonly aborted: () => number;
  /** Sets how chat requests are answered from now on. */
  readonly answer: (how: Answering) => void;
  /** Sets the models it lists from now on. */
  readonly listModels: (models: readonly object[]) => void;
  /** Sets what upstream knows of a generation from now on: its tokens, or an error status. */
  readonly count: (id: string, known: { input: unknown; output: unknown } | number) => void;
  /** The ids of the generations it was asked about. */
  readonly asked: string[];
}

export const UPSTREAM_KEY = 'sk-or-v1-of-this-test';

/** Returns a chunk as OpenRouter sends it. */
export function chunk(fields: object, id = 'gen-1', provider = 'OpenAI'): string {
  const head = { id, provider, model: 'openai/gpt-4', object: 'chat.completion.chunk', created: 1_677_652_288 };
  return `data: ${JSON.stringify({ ...head, ...fields })}\n\n`;
}

export const textChunk = (content: string, id?: string, provider?: string) =>
  chunk({ choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] }, id, provider);
export const stopChunk = (id?: string, provider?: string) =>
  chunk({ choices: [{ index: 0, delta: { content: '' }, finish_reason: 'stop' }] }, id, provider);
export const toUsage = (input: number, output: number) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  cost: 0.00014,
  prompt_tokens_details: { cached_tokens: Math.min(input, 5) },
  completion_tokens_details: { reasoning_tokens: Math.min(output, 3) },
});
export const usageChunk = (input: number, output: number, id?: string, provider?: string) =>
  chunk({ choices: [], usage: toUsage(input, output) }, id, provider);
export const COMMENT = ': OPENROUTER PROCESSING\n\n';
export const DONE = 'data: [DONE]\n\n';

/** Returns a whole stream: comment, text, stop, usage. */
export const usualStream = (input = 12, output = 8): string =>
  [COMMENT, textChunk('Hello'), textChunk('!'), stopChunk(), usageChunk(input, output), DONE].join('');

export function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-generation-id': 'gen-1' });
}

/** Answers with an event stream, all of it at once. */
export const streaming =
  (body: string | Buffer): Answering =>
  (response) => {
    startStream(response);
    response.end(body);
  };

/** Answers with JSON. */
export const whole =
  (body: object, status = 200): Answering =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };

/** Returns an answer that comes whole. */
export const completion = (input = 12, output = 8) => ({
  id: 'gen-1',
  provider: 'OpenAI',
  model: 'openai/gpt-4',
  object: 'chat.completion',
  created: 1_677_652_288,
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello!' }, finish_reason: 'stop' }],
  usage: toUsage(input, output),
});

/** The models it lists unless it is told others, with their prices in US dollars a token. */
export const MODELS: readonly object[] = [
  {
    id: 'openai/gpt-4',
    created: 1_687_882_411,
    context_length: 8191,
    top_provider: { max_completion_tokens: 4096 },
    pricing: { prompt: '0.00003', completion: '0.00006', request: '0' },
  },
  {
    id: 'anthropic/claude-sonnet-4',
    created: 1_747_930_371,
    context_length: 200_000,
    top_provider: null,
    pricing: { prompt: '0.000003', completion: '0.000015' },
  },
];

/** Opens the upstream; it ends with the test. By default it answers as requested, streaming or whole. */
export async function openUpstream(t: Test): Promise<FakeUpstream> {
  const requests: UpstreamRequest[] = [];
  const asked: string[] = [];
  const generations = new Map<string, { input: unknown; output: unknown } | number>();
  let models = MODELS;
  let aborted = 0;
  let answering: Answering = (response, request) =>
    (request.body['stream'] === true ? streaming(usualStream()) : whole(completion()))(response, request);

  const server = createServer((request, response) => {
    response.on('close', () => {
      if (!response.writableFinished) aborted += 1;
    });
    const respond = async () => {
      const url = new URL(request.url ?? '/', 'http://upstream');
      if (url.pathname === '/api/v1/models')
        return whole({ data: models })(response, { path: '', headers: {}, body: {}, text: '' });
      if (url.pathname === '/api/v1/generation') {
        const id = url.searchParams.get('id') ?? '';
        asked.push(id);
        const known = generations.get(id) ?? 404;
        if (typeof known === 'number')
          return void response.writeHead(known).end('{"error":{"message":"upstream says"}}');
        const data = {
          id,
          tokens_prompt: 1,
          tokens_completion: 1,
          native_tokens_prompt: known.input,
          native_tokens_completion: known.output,
          native_tokens_reasoning: 0,
        };
        return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data }));
      }
      const received = await text(request);
      const body: Record<string, unknown> = JSON.parse(received || '{}');
      const seen = { path: url.pathname, headers: request.headers, body, text: received };
      requests.push(seen);
      await answering(response, seen);
    };
    respond().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port }: AddressInfo = Object(server.address());
  const url = `http://127.0.0.1:${port}/api/v1`;
  return {
    url,
    environment: { OPENROUTER_API_KEY: UPSTREAM_KEY, OPENROUTER_BASE_URL: url },
    requests,
    asked,
    aborted: () => aborted,
    answer: (how) => {
      answering = how;
    },
    listModels: (listed) => {
      models = listed;
    },
    count: (id, known) => generations.set(id, known),
  };
}
