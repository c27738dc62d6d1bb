import type { ResponseFormat } from '../../completion.js';
import type { UsageReport } from '../../metering/chat-meter.js';
import type { Chunk } from '../../metering/usage-accumulator.js';
import { formatEvent } from '../../stream/sse.js';
import { toOpenAiError } from './errors.js';
import { type Fields, isFields, toFields } from './fields.js';
import { parseUsage } from './usage.js';
import { toWrittenText } from './written-text.js';

const DONE_MARK = '[DONE]';
/** The event that ends a stream. */
export const DONE = `data: ${DONE_MARK}\n\n`;

const toList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const toName = (value: unknown, maxLength: number): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, maxLength) : undefined;

/** Returns all text of a choice that the model wrote. */
function choiceToText(choice: unknown): string {
  const { delta, message, text } = toFields(choice);
  return toWrittenText([delta, message, text]);
}

/**
 * Reads a chunk of a stream, or an answer that came whole, in the OpenAI format (API reference, "Create chat completion").
 * @param data JSON, as upstream sent it
 * @returns undefined for what is no JSON object
 */
function parseChunk(data: string): Chunk | undefined {
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (!isFields(chunk)) return undefined;
  const choices = toList(chunk['choices']);
  const reasons = choices.map((choice) => toFields(choice)['finish_reason']);
  return {
    id: toName(chunk['id'], 200),
    provider: toName(chunk['provider'], 50)?.toLowerCase(),
    usage: parseUsage(chunk, choices),
    isError: (chunk['error'] ?? null) !== null || reasons.includes('error'),
    hasChoices: choices.length > 0,
    isFinished: reasons.some((reason) => typeof reason === 'string' && !['', 'error'].includes(reason)),
    text: choices.map(choiceToText).join(''),
  };
}

/** Reads upstream's streams, which are in this format for every route so far. */
export const OPENAI_DECODER: Pick<ResponseFormat, 'parseChunk' | 'isEndMark'> = {
  parseChunk,
  isEndMark: (data) => data === DONE_MARK,
};

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
interface OpenAiFormatOptions {
  readonly model: string;
  /** How many choices were asked for at once. */
  readonly choiceCount: number;
  /** Whether the client wants a chunk about usage in a stream. */
  readonly includeUsage: boolean;
}

/** Builds OpenAI's answers: a chunk that only reports usage is for clients that asked for it. */
export function createOpenAiFormat({ model, choiceCount, includeUsage }: OpenAiFormatOptions): ResponseFormat {
  return {
    ...OPENAI_DECODER,
    shouldForward: (chunk) => includeUsage || chunk.hasChoices || chunk.usage === undefined,
    finalEvents: ({ stopReason, report }) => {
      if (stopReason?.kind === 'fault') return formatEvent(toOpenAiError(stopReason.error)) + DONE;
      const length = stopReason?.kind === 'quota' ? createLengthChunk(report, model, choiceCount) : '';
      const usage = includeUsage && report.provenance === 'estimated' ? createUsageChunk(report, model) : '';
      return length + usage + DONE;
    },
    toBody: ({ text }) => text,
  };
}
