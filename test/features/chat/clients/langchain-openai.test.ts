import { AIMessage, type AIMessageChunk, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
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

type Message = SystemMessage | HumanMessage | AIMessage | ToolMessage;

const toMessages = ({ image }: Question): Message[] => [
  new SystemMessage('Be brief.'),
  image === undefined
    ? new HumanMessage('Hello!')
    : new HumanMessage({
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: image } },
        ],
      }),
];

/** What the client can be asked, with tools or without. */
type Model = Pick<ChatOpenAI, 'invoke' | 'stream'>;

/** What is shown of an answer, streamed or whole. */
interface Answer {
  readonly text: string;
  readonly content: AIMessage['content'];
  readonly tool_calls?: AIMessage['tool_calls'];
  readonly usage_metadata?: { readonly input_tokens: number; readonly output_tokens: number } | undefined;
  readonly response_metadata: { readonly finish_reason?: unknown };
}

/** Asks once, and puts a stream together. */
async function askOnce(model: Model, messages: Message[], { isStreaming, signal, onText }: Question): Promise<Answer> {
  const options = signal === undefined ? {} : { signal };
  if (!isStreaming) return model.invoke(messages, options);
  let answer: AIMessageChunk | undefined;
  for await (const chunk of await model.stream(messages, options)) {
    if (chunk.text !== '') onText?.(chunk.text);
    answer = answer === undefined ? chunk : answer.concat(chunk);
  }
  if (answer === undefined) throw new Error('the stream was empty');
  return answer;
}

function toReply(answer: Answer, calls: Reply['toolCalls'] = []): Reply {
  const { text, usage_metadata: usage, response_metadata: metadata } = answer;
  return {
    text,
    reasoning: undefined,
    toolCalls: calls,
    finishReason: String(metadata.finish_reason),
    usage: { input: usage?.input_tokens, output: usage?.output_tokens },
    object: undefined,
  };
}

async function askWithTool(model: ChatOpenAI, question: Question): Promise<Reply> {
  const bound = model.bindTools([{ type: 'function', function: WEATHER_TOOL }]);
  const messages = toMessages(question);
  const answer = await askOnce(bound, messages, question);
  const calls = answer.tool_calls ?? [];
  const results = calls.map(
    ({ id = '' }) => new ToolMessage({ content: JSON.stringify(callWeather()), tool_call_id: id }),
  );
  const said = new AIMessage({ content: answer.content, tool_calls: calls });
  return toReply(
    await askOnce(bound, [...messages, said, ...results], question),
    calls.map(({ name, args }) => ({ name, input: args })),
  );
}

async function askStructured(model: ChatOpenAI, question: Question): Promise<Reply> {
  const structured = model.withStructuredOutput(REPORT_SCHEMA, { name: 'report', method: 'jsonSchema' });
  let object: unknown;
  if (question.isStreaming) for await (const piece of await structured.stream(toMessages(question))) object = piece;
  else object = await structured.invoke(toMessages(question));
  return { ...toReply(new AIMessage('')), object };
}

function connect(baseURL: string, apiKey: string): ConnectedClient {
  return {
    ask: async (question) => {
      const { hasTool, isStructured, maxRetries } = question;
      const model = new ChatOpenAI({
        model: MODEL,
        apiKey,
        configuration: { baseURL },
        ...(maxRetries !== undefined && { maxRetries }),
      });
      if (hasTool) return askWithTool(model, question);
      if (isStructured) return askStructured(model, question);
      return toReply(await askOnce(model, toMessages(question), question));
    },
  };
}

const langchain: ChatClient = {
  name: '@langchain/openai',
  connect,
  toShownError: (error) => {
    const shown = error instanceof Error ? error : new Error(String(error));
    const { status, code }: { status?: number; code?: unknown } = Object(error);
    return { kind: shown.name === 'Error' ? shown.constructor.name : shown.name, message: shown.message, status, code };
  },
  errors: {
    'bad key': { kind: 'AuthenticationError', status: 401, code: 'invalid_api_key' },
    'empty balance': { kind: 'InsufficientQuotaError', status: 429, code: 'insufficient_quota' },
    refused: { kind: 'ContextOverflowError' },
    failed: { kind: 'InternalServerError', status: 502, code: 'upstream_failed' },
    lost: { kind: 'InternalServerError', status: 504, code: 'upstream_timeout' },
    'failed in the stream': { code: 'upstream_failed' },
    aborted: { kind: 'AbortError' },
  },
  // It does not read the header that keeps the client below it from doing so.
  repeats: ['lost', 'failed in the stream'],
  showsReasoning: false,
};

await testChatClient(t, langchain);
t.end();
