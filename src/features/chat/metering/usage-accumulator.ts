import { Type } from '@sinclair/typebox';
import type { Origin, UsageReport } from './chat-meter.js';
import type { PromptEstimate } from './prompt-estimate.js';
import { createTextMeter, type TextMeter, type TokenCounter } from './token-counter.js';

/** Nobody bills more than this for one request; a larger number is a mistake and counts as none. */
const MAX_TOKENS = 1_000_000_000;
/** A number of tokens as upstream reports it. */
export const TokenCountSchema = Type.Integer({ minimum: 0, maximum: MAX_TOKENS });

/** What upstream bills, in tokens: cached tokens are part of the input, reasoning tokens of the output. */
export type Usage = Pick<UsageReport, 'inputTokens' | 'outputTokens'>;

/** What metering has to know of a chunk of a stream, or of a whole answer, whatever its format. */
export interface Chunk {
  readonly id: string | undefined;
  readonly provider: string | undefined;
  readonly usage: Usage | undefined;
  readonly isError: boolean;
  /** Whether it holds anything for the client besides usage. */
  readonly hasChoices: boolean;
  /** All text in it that the model wrote: answer, reasoning, refusal, arguments of tools. */
  readonly text: string;
}

/** Adds up what one generation used while it streams. */
export interface UsageAccumulator {
  readonly observe: (chunk: Chunk) => void;
  readonly origin: () => Origin;
  /** Returns whether anything has come that may be billed. */
  readonly isBillable: () => boolean;
  /** Measures the answer's text. */
  readonly answer: Omit<TextMeter, 'add'>;
  /** Returns what to settle: upstream's count, or else an estimate from the prompt and the text that came. */
  readonly report: () => Promise<UsageReport>;
}

/** Builds the accumulator of one generation. */
export function createUsageAccumulator(counter: TokenCounter, prompt: PromptEstimate): UsageAccumulator {
  const answer = createTextMeter(counter);
  let usage: Usage | undefined;
  let upstreamId: string | undefined;
  let provider: string | undefined;
  let isBillable = false;

  const countPrompt = () =>
    counter.count(prompt.texts).then(
      (count) => count + prompt.attachmentTokens,
      () => prompt.tokens,
    );
  const estimate = async (): Promise<UsageReport> => {
    const [input, outputTokens] = await Promise.all([countPrompt(), answer.exact()]);
    return { inputTokens: Math.max(input, 1), outputTokens, provenance: 'estimated', provider, upstreamId };
  };

  return {
    answer,
    observe: (chunk) => {
      upstreamId ??= chunk.id;
      provider = chunk.provider ?? provider;
      usage = chunk.usage ?? usage;
      isBillable ||= !chunk.isError;
      if (chunk.text !== '') answer.add(chunk.text);
    },
    origin: () => ({ provider, upstreamId }),
    isBillable: () => isBillable,
    report: async () => {
      if (usage === undefined) return estimate();
      return { ...usage, provenance: 'provider_final', provider, upstreamId };
    },
  };
}
