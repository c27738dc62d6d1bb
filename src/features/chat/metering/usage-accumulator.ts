import type { ChunkFacts, Usage } from '../formats/openai/chunk.js';
import type { Bill, Origin } from './chat-meter.js';
import type { Prompt } from './request-estimate.js';
import { createTextMeter, type TextMeter } from './text-meter.js';
import type { TokenCounter } from './token-counter.js';

/** Adds up what one generation came to while it streams. */
export interface Tally {
  readonly observe: (facts: ChunkFacts) => void;
  readonly origin: () => Origin;
  /** Whether anything came that may be billed. */
  readonly hasBegun: () => boolean;
  /** The answer's text. */
  readonly answer: Pick<TextMeter, 'roughly' | 'atLeast' | 'count'>;
  /** What to settle: upstream's count, or else an estimate of the prompt and of what was produced. */
  readonly bill: () => Promise<Bill>;
}

/** Builds the tally of one generation. */
export function createTally(counter: TokenCounter, prompt: Prompt): Tally {
  const answer = createTextMeter(counter);
  let usage: Usage | undefined;
  let upstreamId: string | undefined;
  let provider: string | undefined;
  let begun = false;

  const countPrompt = () =>
    counter.count(prompt.texts).then(
      (count) => count + prompt.attachmentTokens,
      () => prompt.estimate,
    );
  const estimate = async (): Promise<Bill> => {
    const [input, outputTokens] = await Promise.all([countPrompt(), answer.count()]);
    return { inputTokens: Math.max(input, 1), outputTokens, provenance: 'estimated', provider, upstreamId };
  };

  return {
    answer,
    observe: (facts) => {
      upstreamId ??= facts.id;
      provider = facts.provider ?? provider;
      usage = facts.usage ?? usage;
      begun ||= !facts.isError;
      if (facts.text !== '') answer.add(facts.text);
    },
    origin: () => ({ provider, upstreamId }),
    hasBegun: () => begun,
    bill: async () => {
      if (usage === undefined) return estimate();
      const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = usage;
      return { inputTokens, outputTokens, provenance: 'provider_final', provider, upstreamId };
    },
  };
}
