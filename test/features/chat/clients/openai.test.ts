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
import t from '../../../helpers/run/tap.js';

type Message = OpenAI.ChatCompletionMessageParam;

const toMessages = ({ image }: Question): Message[] => [
  { role: 'system', content: 'Be brief.' },
  image === undefined
    ? { role: 'user', content: 'Hello!' }
    : {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: image } },
        ],
      },
];

/** Reads OpenRouter's field, which the client's types do not have. */
const readReasoning = (message: object | undefined): string | undefined => {
  const { reasoning }: { reasoning?: unknown } = { ...message };
  return typeof reasoning === 'string' ? reasoning : undefined;
};

/** Returns what every request has besides how it is to be answered. */
const toBody = (question: Question) => ({
  model: MODEL,
  messages: toMessages(question),
  ...(question.isStructured && {
    response_format: {
      type: 'json_schema' as const,
      json_schema: { name: 'report', strict: true, schema: REPORT_SCHEMA },
    },
  }),
});

const toUsage = (usage: OpenAI.CompletionUsage | null | undefined) => ({
  input: usage?.prompt_tokens,
  output: usage?.completion_tokens,
});

async function askWhole(client: OpenAI, question: Question, options: OpenAI.RequestOptions): Promise<Reply> {
  const { choices, usage } = await client.chat.completions.parse(toBody(question), options);
  const [choice] = choices;
  return {
    text: choice?.message.content ?? '',
    reasoning: readReasoning(choice?.message),
    toolCalls: [],
    finishReason: choice?.finish_reason,
    usage: toUsage(usage),
    object: choice?.message.parsed,
  };
}

async function askStreaming(client: OpenAI, question: Question, options: OpenAI.RequestOptions): Promise<Reply> {
  const body = { ...toBody(question), stream_options: { include_usage: true } };
  const stream = client.chat.completions.stream(body, options);
  const thoughts: string[] = [];
  for await (const { choices } of stream) {
    const delta = choices[0]?.delta;
    if (delta?.content) question.onText?.(delta.content);
    thoughts.push(readReasoning(delta) ?? '');
  }
  const { choices, usage } = await stream.finalChatCompletion();
  const [choice] = choices;
  const text = choice?.message.content ?? '';
  return {
    text,
    reasoning: thoughts.join('') || undefined,
    toolCalls: [],
    finishReason: choice?.finish_reason,
    usage: toUsage(usage),
    // Only schemas of zod are read while they come.
    object: question.isStructured && JSON.parse(text),
  };
}

async function askWithTools(client: OpenAI, question: Question): Promise<Reply> {
  const inputs: object[] = [];
  const run = (input: object) => {
    inputs.push(input);
    return callWeather();
  };
  const parse = (text: string): object => JSON.parse(text);
  const tools = [{ type: 'function' as const, function: { ...WEATHER_TOOL, parse, function: run } }];
  const body = { ...toBody(question), tools };
  const runner = question.isStreaming
    ? client.chat.completions.runTools({ ...body, stream: true })
    : client.chat.completions.runTools(body);
  const { choices } = await runner.finalChatCompletion();
  return {
    text: (await runner.finalContent()) ?? '',
    reasoning: undefined,
    toolCalls: inputs.map((input) => ({ name: WEATHER_TOOL.name, input })),
    finishReason: choices[0]?.finish_reason,
    usage: toUsage(await runner.totalUsage()),
    object: undefined,
  };
}

function connect(baseURL: string, apiKey: string): ConnectedClient {
  const client = new OpenAI({ baseURL, apiKey });
  return {
    ask: (question) => {
      const { isStreaming, hasTool, signal, maxRetries } = question;
      const options = { ...(signal && { signal }), ...(maxRetries !== undefined && { maxRetries }) };
      if (hasTool) return askWithTools(client, question);
      return isStreaming ? askStreaming(client, question, options) : askWhole(client, question, options);
    },
  };
}

const openai: ChatClient = {
  name: 'openai',
  connect,
  toShownError: (error) => {
    const shown = error instanceof Error ? error : new Error(String(error));
    return {
      kind: shown.constructor.name,
      message: shown.message,
      ...(error instanceof APIError && { status: error.status, code: error.code }),
    };
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

await testChatClient(t, openai);
t.end();
