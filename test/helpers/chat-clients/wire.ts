import type { ServerResponse } from 'node:http';
import {
  type Answering,
  chunk,
  completion,
  DONE,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  toUsage,
  usageChunk,
  whole,
} from '../fakes/openrouter.js';
import {
  completed,
  created,
  event,
  functionCall,
  functionEvents,
  message,
  messageEnd,
  messageStart,
  reasoning,
  response,
  textDelta,
  toResponseUsage,
} from '../fakes/responses.js';
import { WEATHER_TOOL } from './chat-client.js';

/** What the model answers. */
export interface Told {
  /** Its text, in the pieces it comes in. */
  readonly pieces: readonly string[];
  /** What it thought before, in pieces. */
  readonly thoughts?: readonly string[];
}

/** The arguments with which the model calls the tool, in pieces. */
const ARGUMENTS: readonly string[] = ['{"ci', 'ty":"Rome"}'];
const CALL_ID = 'call_1';
const UPSTREAMS_WORDS = 'secret words of upstream';
const isStreaming = (body: Readonly<Record<string, unknown>>) => body['stream'] === true;

/** How upstream answers in one wire format, as it is asked to: in a stream or whole. */
export interface Wire {
  readonly tell: (told: Told, input?: number, output?: number) => Answering;
  /** Calls the tool. */
  readonly callTool: (input: number, output: number) => Answering;
  /** Tells an error after some text. */
  readonly failAfter: (pieces: readonly string[], input: number, output: number) => Answering;
  /** Begins a stream with some text. */
  readonly begin: (response: ServerResponse, text: string) => void;
  /** What follows in a stream that was begun. */
  readonly rest: string;
  /** Whether the provider is known to bill no further once its stream is aborted. */
  readonly endsBilling: boolean;
  /** What requests contain, as `t.match` takes it. */
  readonly request: {
    readonly tool: object;
    /** The last items of the request that brings the result of the tool. */
    readonly toolResult: readonly object[];
    /** The member with the messages, or what stands for them. */
    readonly items: string;
    readonly structured: (schema: object) => object;
    /** Part of its JSON. */
    readonly toImage: (url: string) => string;
  };
}

const toChunk = (delta: object, reason: string | null = null) =>
  chunk({ choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason: reason }] });

/** Answers with one choice: its message whole, or in deltas. */
const choose =
  (said: object, deltas: readonly object[], reason: string, input: number, output: number): Answering =>
  (httpResponse, request) => {
    if (isStreaming(request.body)) {
      const chunks = [...deltas.map((delta) => toChunk(delta)), toChunk({}, reason)].join('');
      return streaming(chunks + usageChunk(input, output) + DONE)(httpResponse, request);
    }
    const choices = [{ index: 0, message: { role: 'assistant', ...said }, finish_reason: reason }];
    return whole({ ...completion(input, output), choices })(httpResponse, request);
  };

/** A call of the tool as the chat format has it. */
const toToolCall = (args: string) => ({
  id: CALL_ID,
  type: 'function',
  function: { name: WEATHER_TOOL.name, arguments: args },
});

/** OpenAI's chat completions, with OpenRouter's own fields. */
export const CHAT_COMPLETIONS: Wire = {
  tell: ({ pieces, thoughts = [] }, input = 12, output = 8) => {
    const said = { content: pieces.join(''), ...(thoughts.length > 0 && { reasoning: thoughts.join('') }) };
    const deltas = [...thoughts.map((thought) => ({ reasoning: thought })), ...pieces.map((content) => ({ content }))];
    return choose(said, deltas, 'stop', input, output);
  },
  callTool: (input, output) => {
    const said = { content: null, tool_calls: [toToolCall(ARGUMENTS.join(''))] };
    const deltas = [
      { tool_calls: [{ index: 0, ...toToolCall('') }] },
      ...ARGUMENTS.map((text) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
    ];
    return choose(said, deltas, 'tool_calls', input, output);
  },
  failAfter: (pieces, input, output) => (httpResponse, request) => {
    const error = { code: 502, message: UPSTREAMS_WORDS };
    const nothing = { content: '' };
    const choices = [{ index: 0, delta: nothing, message: nothing, finish_reason: 'error' }];
    const usage = toUsage(input, output);
    if (!isStreaming(request.body)) return whole({ ...completion(), error, choices, usage })(httpResponse, request);
    const text = pieces.map((piece) => textChunk(piece)).join('');
    return streaming(text + chunk({ error, choices, usage }) + DONE)(httpResponse, request);
  },
  begin: (httpResponse, text) => {
    startStream(httpResponse);
    httpResponse.write(textChunk(text));
  },
  rest: stopChunk() + usageChunk(12, 8) + DONE,
  endsBilling: true,
  request: {
    tool: { type: 'function', function: { name: WEATHER_TOOL.name } },
    items: 'messages',
    toolResult: [
      {
        role: 'assistant',
        tool_calls: [{ ...toToolCall(''), function: { name: WEATHER_TOOL.name, arguments: /^\{"city": ?"Rome"\}$/ } }],
      },
      { role: 'tool', tool_call_id: CALL_ID, content: /21/ },
    ],
    structured: (schema) => ({ response_format: { type: 'json_schema', json_schema: { schema } } }),
    toImage: (url) => `"image_url":{"url":"${url}"`,
  },
};

/** OpenAI's Responses. */
export const RESPONSES: Wire = {
  tell: ({ pieces, thoughts = [] }, input = 12, output = 8) => {
    const text = pieces.join('');
    const thought = thoughts.length > 0 ? [reasoning(thoughts.join(''))] : [];
    const items = [...thought, message(text)];
    const usage = toResponseUsage(input, output);
    const at = thought.length;
    const place = { item_id: 'rs_1', output_index: 0, summary_index: 0 };
    const events = [
      ...thought.map((item) =>
        event('response.output_item.added', { output_index: 0, item: { ...item, summary: [] } }),
      ),
      ...thought.map(() =>
        event('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } }),
      ),
      ...thoughts.map((delta) => event('response.reasoning_summary_text.delta', { ...place, delta })),
      ...thought.map((item) => event('response.output_item.done', { output_index: 0, item })),
    ];
    const stream =
      created +
      events.join('') +
      messageStart(at) +
      pieces.map((piece) => textDelta(piece, { output_index: at })).join('') +
      messageEnd(text, at) +
      completed(items, usage);
    return (httpResponse, request) =>
      (isStreaming(request.body) ? streaming(stream) : whole(response(items, usage)))(httpResponse, request);
  },
  callTool: (input, output) => (httpResponse, request) => {
    const usage = toResponseUsage(input, output);
    const answer = isStreaming(request.body)
      ? streaming(functionEvents(ARGUMENTS, usage))
      : whole(response([functionCall(ARGUMENTS.join(''))], usage));
    return answer(httpResponse, request);
  },
  failAfter: (pieces, input, output) => (httpResponse, request) => {
    const error = { code: 'server_error', message: UPSTREAMS_WORDS };
    const failed = response([], toResponseUsage(input, output), { status: 'failed', error });
    if (!isStreaming(request.body)) return whole(failed)(httpResponse, request);
    const text = pieces.map((piece) => textDelta(piece)).join('');
    const end = event('response.failed', { response: failed, sequence_number: 9 });
    return streaming(created + messageStart() + text + end)(httpResponse, request);
  },
  begin: (httpResponse, text) => {
    startStream(httpResponse);
    httpResponse.write(created + messageStart() + textDelta(text));
  },
  rest: messageEnd('Hello') + completed([message('Hello')]),
  endsBilling: false,
  request: {
    tool: { type: 'function', name: WEATHER_TOOL.name },
    items: 'input',
    toolResult: [
      { type: 'function_call', call_id: CALL_ID, name: WEATHER_TOOL.name, arguments: /^\{"city": ?"Rome"\}$/ },
      { type: 'function_call_output', call_id: CALL_ID, output: /21/ },
    ],
    structured: (schema) => ({ text: { format: { type: 'json_schema', schema } } }),
    toImage: (url) => `"image_url":"${url}"`,
  },
};
