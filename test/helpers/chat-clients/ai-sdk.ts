import {
  APICallError,
  generateText,
  jsonSchema,
  type LanguageModel,
  type ModelMessage,
  Output,
  RetryError,
  stepCountIs,
  streamText,
  tool,
} from 'ai';
import {
  type ChatClient,
  callWeather,
  type Question,
  REPORT_SCHEMA,
  type Reply,
  type ShownError,
  WEATHER_TOOL,
} from './chat-client.js';

/** What the SDK shows of the text and its cost, streamed or whole. */
type Result = Pick<Awaited<ReturnType<typeof generateText>>, 'text' | 'reasoningText' | 'finishReason' | 'totalUsage'>;

const weather = tool({
  description: WEATHER_TOOL.description,
  inputSchema: jsonSchema<{ city: string }>(WEATHER_TOOL.parameters),
  execute: async () => callWeather(),
});

function toMessages({ image }: Question): ModelMessage[] {
  if (image === undefined) return [{ role: 'user', content: 'Hello!' }];
  const parts = [
    { type: 'text' as const, text: 'What is this?' },
    { type: 'image' as const, image },
  ];
  return [{ role: 'user', content: parts }];
}

const toOptions = (model: LanguageModel, question: Question) => ({
  model,
  system: 'Be brief.',
  messages: toMessages(question),
  stopWhen: stepCountIs(2),
  ...(question.hasTool && { tools: { weather } }),
  ...(question.signal && { abortSignal: question.signal }),
  ...(question.maxRetries !== undefined && { maxRetries: question.maxRetries }),
});

const report = Output.object({ schema: jsonSchema<{ city: string; degrees: number }>(REPORT_SCHEMA) });

/** Puts together what the SDK shows; `calls` are those of all its steps. */
function toReply(
  { text, reasoningText, finishReason, totalUsage }: Result,
  calls: readonly { readonly toolName: string; readonly input: unknown }[],
  object?: unknown,
): Reply {
  return {
    text,
    reasoning: reasoningText,
    toolCalls: calls.map(({ toolName, input }) => ({ name: toolName, input })),
    finishReason,
    usage: { input: totalUsage.inputTokens, output: totalUsage.outputTokens },
    object,
  };
}

async function askWhole(model: LanguageModel, question: Question): Promise<Reply> {
  if (question.isStructured) {
    const result = await generateText({ ...toOptions(model, question), output: report });
    return toReply(result, [], result.output);
  }
  const result = await generateText(toOptions(model, question));
  return toReply(
    result,
    result.steps.flatMap(({ toolCalls }) => toolCalls),
  );
}

/** Reads a stream to its end: it tells of errors within itself. */
async function readStream(parts: AsyncIterable<StreamPart>, { onText, signal }: Question): Promise<void> {
  for await (const part of parts) {
    if (part.type === 'text-delta') onText?.(part.text ?? '');
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') throw signal?.reason;
  }
}
interface StreamPart {
  readonly type: string;
  readonly text?: string;
  readonly error?: unknown;
}

async function askStreaming(model: LanguageModel, question: Question): Promise<Reply> {
  // What goes wrong is told here as well, and printed where nobody listens.
  const options = { ...toOptions(model, question), onError: () => {} };
  const result = question.isStructured ? streamText({ ...options, output: report }) : streamText(options);
  await readStream(result.fullStream, question);
  const [text, reasoningText, finishReason, totalUsage, steps] = await Promise.all([
    result.text,
    result.reasoningText,
    result.finishReason,
    result.totalUsage,
    result.steps,
  ]);
  const object: unknown = question.isStructured ? await result.output : undefined;
  const calls = steps.flatMap(({ toolCalls }) => toolCalls);
  return toReply({ text, reasoningText, finishReason, totalUsage }, calls, object);
}

/** Reads the error of OpenAI's format that the SDK keeps beside its own. */
function readCode(data: unknown): unknown {
  const { error }: { error?: unknown } = Object(data);
  const { code }: { code?: unknown } = Object(error);
  return code;
}

/** Returns what the SDK shows of an error: within a stream it passes on the server's own. */
function toShownError(error: unknown): ShownError {
  const { name = 'none', message = '', code }: { name?: string; message?: string; code?: unknown } = Object(error);
  if (!APICallError.isInstance(error)) return { kind: name, message, code };
  return { kind: name, message, status: error.statusCode, code: readCode(error.data) };
}

/** Describes one of the SDK's providers, which differ in how they write requests and read answers. */
export function describeAiSdk(
  name: string,
  createModel: (baseUrl: string, key: string) => LanguageModel,
  overrides: Partial<Pick<ChatClient, 'errors' | 'showsReasoning'>> = {},
): ChatClient {
  const kind = 'AI_APICallError';
  return {
    name,
    connect: (baseUrl, key) => {
      const model = createModel(baseUrl, key);
      return {
        ask: (question) => (question.isStreaming ? askStreaming(model, question) : askWhole(model, question)),
      };
    },
    toShownError: (error) => toShownError(RetryError.isInstance(error) ? error.lastError : error),
    errors: {
      'bad key': { kind, status: 401, code: 'invalid_api_key' },
      'empty balance': { kind, status: 429, code: 'insufficient_quota' },
      refused: { kind, status: 400, code: 'context_length_exceeded' },
      failed: { kind, status: 502, code: 'upstream_failed' },
      lost: { kind, status: 504, code: 'upstream_timeout' },
      'failed in the stream': { code: 'upstream_failed' },
      aborted: { kind: 'AbortError' },
    },
    // It goes by the status alone.
    repeats: ['empty balance', 'lost', 'failed in the stream'],
    showsReasoning: true,
    ...overrides,
  };
}
