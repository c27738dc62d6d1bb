import type { Codec, Reading } from '../../codec.js';
import { type Fields, toFields, toList } from '../../json-fields.js';
import { type Counts, greatest, hasTokens, NO_COUNTS } from '../../metering/evidence.js';
import { estimatePrompt, type PromptEstimate } from '../../metering/prompt-estimate.js';
import { NO_OUTPUT } from '../../metering/request-estimate.js';
import { toErrorInBody } from '../../openrouter/upstream-error.js';
import { toChunk } from '../openai/codec.js';
import { parseUsage } from '../openai/usage.js';
import { countInputs, countTokenIds } from './input.js';

/** Tokens with which models mark the beginning and the end of an input. */
const INPUT_TOKENS = 2;
/** The part of a long input that a model reads at least. */
const FEWEST_READ = 1 / 4;

function estimateInput(input: unknown, tokenIds: number, remoteTokens: number): PromptEstimate {
  const { texts, attachmentTokens, tokens } = estimatePrompt(
    { contents: [input], schemas: [], messageCount: 0 },
    remoteTokens,
  );
  return {
    texts,
    attachmentTokens: attachmentTokens + tokenIds,
    tokens: tokens + tokenIds + countInputs(input) * INPUT_TOKENS,
  };
}

/**
 * Reads what upstream counts. Vectors are no output: all that is counted is input.
 * @param tokenIds token ids in the request, of which upstream may leave out what is too long for the model
 * @returns counts without what cannot be, as nobody gets vectors for nothing; undefined where it says nothing
 */
function parseCounts(answer: Fields, tokenIds: number): Counts | undefined {
  const usage = parseUsage(answer, []);
  if (usage === undefined) return undefined;
  const tokens = greatest(usage.input, usage.total) ?? 0;
  const isPossible = tokens > 0 && tokens >= tokenIds * FEWEST_READ;
  return { ...usage, ...NO_COUNTS, ...(isPossible && { input: tokens, output: 0 }) };
}

function readAnswer(answer: Fields, tokenIds: number): Reading {
  const hasContent = toList(answer['data']).some((item) => 'embedding' in toFields(item));
  const chunk = { ...toChunk(answer), usage: parseCounts(answer, tokenIds), hasContent, isFinished: true };
  const isAnswer = !chunk.isError && (hasContent || hasTokens(chunk.usage));
  return isAnswer ? { kind: 'chunk', chunk } : { kind: 'fault', error: toErrorInBody(answer), chunk };
}

/** Builds the codec of a request for embeddings (OpenAI API reference, "Create embeddings"), which always come whole. */
export function createEmbeddingsCodec(input: unknown): Codec {
  const tokenIds = countTokenIds(input);
  const read = (answer: Fields) => readAnswer(answer, tokenIds);
  return {
    path: '/embeddings',
    estimatePrompt: (_body, remoteTokens) => estimateInput(input, tokenIds, remoteTokens),
    limitOutput: () => NO_OUTPUT,
    toUpstreamBody: (body) => body,
    isStateless: false,
    isEndMark: () => false,
    readEvent: read,
    readAnswer: read,
    shouldForward: () => true,
    finalEvents: () => '',
    toBody: ({ text }) => text,
  };
}
