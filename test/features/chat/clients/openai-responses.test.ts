import OpenAI, { APIError } from 'openai';
import {
  type ChatClient,
  type ConnectedClient,
  callWeather,
  MODEL,
  type Question,
  REPORT_SCHEMA,
  type Reply,
  WEATHER_TOOL,
} from '../../../helpers/chat-clients/chat-client.js';
import { testChatClient } from '../../../helpers/chat-clients/scenarios.js';
import { RESPONSES } from '../../../helpers/chat-clients/wire.js';
import t from '../../../helpers/run/tap.js';

type Input = OpenAI.Responses.ResponseInput;
type Response = OpenAI.Responses.Response;

const TOOL = { type: 'function' as const, strict: true, ...WEATHER_TOOL };

const toInput = ({ image }: Question): Input => [
  image === undefined
    ? { role: 'user', content: 'Hello!' }
    : {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is this?' },
          { type: 'input_image', detail: 'auto', image_url: image },
        ],
      },
];

const toBody = ({ hasTool, isStructured }: Question, input: Input) => ({
  model: MODEL,
  instructions: 'Be brief.',
  input,
  ...(hasTool && { tools: [TOOL] }),
  ...(isStructured && {
    text: { format: { type: 'json_schema' as const, name: 'report', strict: true, schema: REPORT_SCHEMA } },
  }),
});

/** Asks once; a stream tells that it failed in an event of its own. */
async function askOnce(client: OpenAI, question: Question, input: Input): Promise<Response> {
  const { isStreaming, signal, maxRetries, onText } = question;
  const options = { ...(signal && { signal }), ...(maxRetries !== undefined && { maxRetries }) };
  if (!isStreaming) return client.responses.create(toBody(question, input), options);
  const stream = client.responses.stream(toBody(question, input), options);
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') onText?.(event.delta);
    if (event.type === 'response.failed') throw Object.assign(new Error('it failed'), event.response.error);
  }
  return stream.finalResponse();
}

function toReply(response: Response, toolCalls: Reply['toolCalls'], isStructured: boolean): Reply {
  const { output, output_text: text, usage, status } = response;
  const thoughts = output.flatMap((item) => (item.type === 'reasoning' ? item.summary.map(({ text }) => text) : []));
  return {
    text,
    reasoning: thoughts.join('') || undefined,
    toolCalls,
    finishReason: status === 'completed' ? 'stop' : status,
    usage: { input: usage?.input_tokens, output: usage?.output_tokens },
    object: isStructured && JSON.parse(text),
  };
}

async function ask(client: OpenAI, question: Question): Promise<Reply> {
  const input = toInput(question);
  const first = await askOnce(client, question, input);
  const calls = first.output.filter((item) => item.type === 'function_call');
  if (calls.length === 0) return toReply(first, [], question.isStructured === true);
  const results = calls.map(({ call_id }) => ({
    type: 'function_call_output' as const,
    call_id,
    output: JSON.stringify(callWeather()),
  }));
  const said = calls.map(({ call_id, name, arguments: args }) => ({
    type: 'function_call' as const,
    call_id,
    name,
    arguments: args,
  }));
  const last = await askOnce(client, question, [...input, ...said, ...results]);
  const shown = calls.map(({ name, arguments: args }) => ({ name, input: JSON.parse(args) }));
  return toReply(last, shown, false);
}

function connect(baseURL: string, apiKey: string): ConnectedClient {
  const client = new OpenAI({ baseURL, apiKey });
  return { ask: (question) => ask(client, question) };
}

const openaiResponses: ChatClient = {
  name: 'openai, responses',
  connect,
  toShownError: (error) => {
    const { message = '', code }: { message?: string; code?: unknown } = Object(error);
    const status = error instanceof APIError ? error.status : undefined;
    return { kind: Object(error).constructor.name, message, status, code };
  },
  errors: {
    'bad key': { kind: 'AuthenticationError', status: 401, code: 'invalid_api_key' },
    'empty balance': { kind: 'RateLimitError', status: 429, code: 'insufficient_quota' },
    refused: { kind: 'BadRequestError', status: 400, code: 'context_length_exceeded' },
    failed: { kind: 'InternalServerError', status: 502, code: 'upstream_failed' },
    lost: { kind: 'InternalServerError', status: 504, code: 'upstream_timeout' },
    'failed in the stream': { code: 'upstream_failed' },
    aborted: { kind: 'APIUserAbortError' },
  },
  repeats: [],
  showsReasoning: true,
};

await testChatClient(t, openaiResponses, RESPONSES);
t.end();
