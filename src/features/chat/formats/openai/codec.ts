import type { AnswerCodec, Codec, Reading, RequestCodec } from '../../codec.js';
import { type Fields, isFields, toFields, toList } from '../../json-fields.js';
import type { UsageReport } from '../../metering/chat-meter.js';
import { hasTokens } from '../../metering/evidence.js';
import { estimatePrompt } from '../../metering/prompt-estimate.js';
import { createOutputLimit } from '../../metering/request-estimate.js';
import type { Chunk } from '../../metering/usage-accumulator.js';
import { toWrittenText } from '../../metering/written-text.js';
import { toErrorInBody } from '../../openrouter/upstream-error.js';
import { formatEvent } from '../../stream/sse.js';
import { findFault, isSet } from './chunk-faults.js';
import { toOpenAiError } from './errors.js';
import { parseUsage } from './usage.js';

const DONE_MARK = '[DONE]';
/** The event that ends a stream. */
export const DONE = `data: ${DONE_MARK}\n\n`;

const toName = (value: unknown, maxLength: number): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, maxLength) : undefined;

/** Members of a choice that upstream says of it, or adds to what the model wrote. */
const CHOICE_LABEL = /^(native_finish_reason|(finish|stop|matched_stop)(_\w+)?|logprobs|error|content_filter_\w+)$/;

/** Returns all text of a choice that the model wrote, also beside its delta or message. */
function choiceToText(choice: unknown): string {
  if (!isFields(choice)) return toWrittenText([choice]);
  const { delta, message, ...rest } = choice;
  const beside = Object.entries(rest).filter(([name]) => !CHOICE_LABEL.test(name));
  return toWrittenText([delta, message, Object.fromEntries(beside)]);
}

/** Reads a chunk of a stream, or an answer that came whole (OpenAI API reference, "Create chat completion"). */
export function toChunk(fields: Fields): Chunk {
  const choices = toList(fields['choices']);
  const reasons = choices.map((choice) => toFields(choice)['finish_reason']);
  return {
    id: toName(fields['id'], 200),
    provider: toName(fields['provider'], 50)?.toLowerCase(),
    usage: parseUsage(fields, choices),
    isError: isSet(fields['error']) || reasons.includes('error'),
    hasContent: choices.length > 0,
    isFinished: reasons.some((reason) => typeof reason === 'string' && !['', 'error'].includes(reason)),
    text: choices.map(choiceToText).join(''),
  };
}

function readEvent(fields: Fields): Reading {
  const chunk = toChunk(fields);
  const fault = findFault(fields, chunk);
  if (fault === undefined) return { kind: 'chunk', chunk };
  if (fault === 'ping') return { kind: 'ping' };
  return { kind: 'fault', error: toErrorInBody(fields), chunk: fault === 'error' ? chunk : undefined };
}

function readAnswer(fields: Fields): Reading {
  const chunk = toChunk(fields);
  const isAnswer = findFault(fields, chunk) === undefined && (chunk.hasContent || hasTokens(chunk.usage));
  return isAnswer ? { kind: 'chunk', chunk } : { kind: 'fault', error: toErrorInBody(fields), chunk };
}

/** Asks upstream for chat completions, always with their usage. */
const REQUEST_CODEC: RequestCodec = {
  path: '/chat/completions',
  estimatePrompt: ({ messages, prediction, tools, functions, response_format: format }, remoteTokens) => {
    const messageCount = Array.isArray(messages) ? messages.length : 1;
    // What the model is told that it may answer costs as much, where it answers something else.
    const contents = [messages, prediction];
    return estimatePrompt({ contents, schemas: [tools, functions, format], messageCount }, remoteTokens);
  },
  limitOutput: (body, isStreaming, modelLimit) => {
    const choiceCount = typeof body['n'] === 'number' ? body['n'] : 1;
    const limitNames = ['max_tokens', 'max_completion_tokens'] as const;
    return createOutputLimit({ body, limitNames, choiceCount, isStreaming, modelLimit });
  },
  toUpstreamBody: (body, { isStreaming, isOpenRouter }) => ({
    ...body,
    stream: isStreaming,
    ...(isStreaming && { stream_options: { ...toFields(body['stream_options']), include_usage: true } }),
    ...(isOpenRouter && { usage: { include: true } }),
  }),
};

const READER: Pick<AnswerCodec, 'isStateless' | 'isEndMark' | 'readEvent' | 'readAnswer'> = {
  isStateless: true,
  isEndMark: (data) => data === DONE_MARK,
  readEvent,
  readAnswer,
};

/** What all routes share that ask upstream in this format. */
export const COMPLETION_CODEC = { ...REQUEST_CODEC, ...READER };

/** Returns an event of our own that fits in among upstream's. */
function createChunk(upstreamId: string | undefined, model: string, fields: Fields): string {
  const created = Math.floor(Date.now() / 1_000);
  return formatEvent({ id: upstreamId, object: 'chat.completion.chunk', created, model, ...fields });
}

/** Returns the chunk that ends an answer when the tokens run out, just as the model's own limit would. */
export function createLengthChunk({ upstreamId }: UsageReport, model: string, choiceCount: number): string {
  const choices = Array.from({ length: choiceCount }, (_, index) => ({ index, delta: {}, finish_reason: 'length' }));
  return createChunk(upstreamId, model, { choices });
}

/** Returns OpenAI's last chunk, for a client that asked for usage which upstream did not send. */
function createUsageChunk({ upstreamId, inputTokens, outputTokens }: UsageReport, model: string): string {
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
  return createChunk(upstreamId, model, { choices: [], usage });
}

/** How one request in the OpenAI format is to be answered. */
interface OpenAiCodecOptions {
  readonly model: string;
  /** How many choices were asked for at once. */
  readonly choiceCount: number;
  /** Whether the client wants a chunk about usage in a stream. */
  readonly includeUsage: boolean;
}

/** Builds OpenAI's answers: a chunk that only reports usage is for clients that asked for it. */
export function createOpenAiCodec({ model, choiceCount, includeUsage }: OpenAiCodecOptions): Codec {
  return {
    ...COMPLETION_CODEC,
    shouldForward: (chunk) => includeUsage || chunk.hasContent || chunk.usage === undefined,
    finalEvents: ({ stopReason, report }) => {
      if (stopReason?.kind === 'fault') return formatEvent(toOpenAiError(stopReason.error)) + DONE;
      const length = stopReason?.kind === 'quota' ? createLengthChunk(report, model, choiceCount) : '';
      const usage = includeUsage && report.provenance === 'estimated' ? createUsageChunk(report, model) : '';
      return length + usage + DONE;
    },
    toBody: ({ text }) => text,
  };
}
