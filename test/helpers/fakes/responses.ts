import { type Answering, streaming, whole } from './openrouter.js';

/** Returns an event of the Responses format as upstream sends it. */
export const event = (type: string, fields: object = {}): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;

export const toResponseUsage = (input: number, output: number) => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: input + output,
});

/** Returns a response; one that is completed by default. */
export const response = (output: readonly object[], usage: unknown = toResponseUsage(12, 8), fields: object = {}) => ({
  id: 'gen-r1',
  object: 'response',
  created_at: 1_741_476_542,
  status: 'completed',
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  model: 'openai/gpt-4',
  output,
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  usage,
  ...fields,
});

export const message = (text: string, id = 'msg_1') => ({
  id,
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [] }],
});
export const reasoning = (text: string) => ({
  id: 'rs_1',
  type: 'reasoning',
  status: 'completed',
  summary: [{ type: 'summary_text', text }],
});
export const functionCall = (args: string, name = 'weather') => ({
  id: 'fc_1',
  type: 'function_call',
  status: 'completed',
  call_id: 'call_1',
  name,
  arguments: args,
});

export const created = event('response.created', {
  response: response([], null, { status: 'in_progress' }),
  sequence_number: 0,
});
export const completed = (output: readonly object[], usage?: unknown) =>
  event('response.completed', { response: response(output, usage), sequence_number: 99 });
export const textDelta = (delta: string, place: object = {}) =>
  event('response.output_text.delta', {
    item_id: 'msg_1',
    output_index: 0,
    content_index: 0,
    delta,
    logprobs: [],
    obfuscation: 'aB3dE6',
    sequence_number: 4,
    ...place,
  });

/** Returns the events that begin a message. */
export const messageStart = (output_index = 0) =>
  event('response.output_item.added', {
    output_index,
    item: { id: 'msg_1', type: 'message', role: 'assistant', status: 'in_progress', content: [] },
  }) +
  event('response.content_part.added', {
    item_id: 'msg_1',
    output_index,
    content_index: 0,
    part: { type: 'output_text', text: '', annotations: [] },
  });

/** Returns the events that repeat a message as a whole. */
export const messageEnd = (text: string, output_index = 0) => {
  const place = { item_id: 'msg_1', output_index, content_index: 0 };
  const part = { type: 'output_text', text, annotations: [] };
  return (
    event('response.output_text.done', { ...place, text, logprobs: [] }) +
    event('response.content_part.done', { ...place, part }) +
    event('response.output_item.done', { output_index, item: message(text) })
  );
};

/** Returns a whole stream: a message, bit by bit and repeated. */
export const usualEvents = (usage?: unknown): string =>
  created +
  messageStart() +
  textDelta('Hel') +
  textDelta('lo!') +
  messageEnd('Hello!') +
  completed([message('Hello!')], usage);

/** Returns a stream that calls a function. */
export const functionEvents = (args: readonly string[], usage?: unknown): string => {
  const place = { item_id: 'fc_1', output_index: 0 };
  const text = args.join('');
  return [
    created,
    event('response.output_item.added', { output_index: 0, item: { ...functionCall(''), status: 'in_progress' } }),
    ...args.map((delta) => event('response.function_call_arguments.delta', { ...place, delta })),
    event('response.function_call_arguments.done', { ...place, name: 'weather', arguments: text }),
    event('response.output_item.done', { output_index: 0, item: functionCall(text) }),
    completed([functionCall(text)], usage),
  ].join('');
};

/** Answers as it is asked to, streaming or whole. */
export const responding: Answering = (httpResponse, request) =>
  (request.body['stream'] === true ? streaming(usualEvents()) : whole(response([message('Hello!')])))(
    httpResponse,
    request,
  );
