import type { Hold, Origin, Progress, UsageReport } from './chat-meter.js';
import { type Counts, hasTokens, judgeUsage, mergeCounts, NO_COUNTS, type Verdict } from './evidence.js';
import type { PromptEstimate } from './prompt-estimate.js';
import { createTextMeter, type TextMeter, type TokenCounter } from './token-counter.js';

/** What metering has to know of a chunk of a stream, or of a whole answer, whatever its format. */
export interface Chunk {
  readonly id: string | undefined;
  readonly provider: string | undefined;
  /** What upstream says of tokens in it; undefined where it says nothing. */
  readonly usage: Counts | undefined;
  readonly isError: boolean;
  /** Whether it holds anything for the client besides usage. */
  readonly hasContent: boolean;
  /** Whether the model says in it that it has finished. */
  readonly isFinished: boolean;
  /** All text in it that the model wrote, under whatever name: answer, reasoning, refusal, arguments of tools. */
  readonly text: string;
}

/** Adds up what one generation used while it streams. */
export interface UsageAccumulator {
  readonly observe: (chunk: Chunk) => void;
  /** Notes that upstream has come to its end: what it said until now is its last word. */
  readonly complete: () => void;
  readonly origin: () => Origin;
  /** Returns whether anything has come that may be billed. */
  readonly isBillable: () => boolean;
  /** Measures the answer's text. */
  readonly answer: Omit<TextMeter, 'add'>;
  /**
   * Returns how far the answer has come, without counting.
   * @param heldTokens tokens that are held for the answer
   */
  readonly progress: (heldTokens: Hold['outputTokens']) => Progress;
  /**
   * Returns what to settle, as the evidence has it.
   * @param heldTokens tokens that are held for the answer
   */
  readonly report: (heldTokens: Hold['outputTokens']) => Promise<UsageReport>;
}

/**
 * Builds the accumulator of one generation.
 * @param headerId its id upstream, for formats whose answers have none or another
 */
export function createUsageAccumulator(
  counter: TokenCounter,
  prompt: PromptEstimate,
  headerId?: string,
): UsageAccumulator {
  const answer = createTextMeter(counter);
  let promptBytes: number | undefined;
  let said = NO_COUNTS;
  let upstreamId: string | undefined;
  let provider: string | undefined;
  let isBillable = false;
  let hasFinished = false;
  /** Whether upstream has counted after the model had finished, and nothing was written since. */
  let isCountFinal = false;
  let isComplete = false;

  const observeCount = ({ usage, isFinished, text }: Chunk) => {
    hasFinished ||= isFinished;
    isCountFinal = hasFinished && (usage !== undefined || (isCountFinal && text === ''));
    if (usage !== undefined) said = mergeCounts(said, usage);
  };
  const countPrompt = () =>
    counter.count(prompt.texts).then(
      (count) => count + prompt.attachmentTokens,
      () => prompt.tokens,
    );
  const judge = (heldTokens: number, inputTokens?: number, outputTokens?: number): Verdict => {
    promptBytes ??= prompt.texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    return judgeUsage({
      said,
      isFinal: isComplete || isCountFinal,
      prompt: { bytes: promptBytes, counted: inputTokens, held: prompt.tokens },
      answer: { bytes: answer.bytes(), counted: outputTokens, held: heldTokens },
    });
  };

  return {
    answer,
    observe: (chunk) => {
      upstreamId ??= chunk.id;
      provider = chunk.provider ?? provider;
      const isAnswer = !chunk.isError && (chunk.hasContent || chunk.usage !== undefined);
      isBillable ||= isAnswer || hasTokens(chunk.usage);
      observeCount(chunk);
      if (chunk.text !== '') answer.add(chunk.text);
    },
    complete: () => {
      isComplete = true;
    },
    origin: () => ({ provider, upstreamId: upstreamId ?? headerId }),
    isBillable: () => isBillable,
    progress: (heldTokens) => {
      const verdict = judge(heldTokens, undefined, answer.estimate());
      const { inputTokens, outputTokens, fewestInput, fewestOutput } = verdict;
      return { inputTokens, outputTokens, fewestInput, fewestOutput, provider, upstreamId: upstreamId ?? headerId };
    },
    report: async (heldTokens) => {
      // By length alone first: counting takes time, and is only needed where upstream's count is not plausible.
      const { isInputEstimated, isOutputEstimated } = judge(heldTokens);
      const { inputTokens, outputTokens, provenance, fewestInput, fewestOutput } = judge(
        heldTokens,
        ...(await Promise.all([
          isInputEstimated ? countPrompt() : undefined,
          isOutputEstimated ? answer.exact() : undefined,
        ])),
      );
      return {
        inputTokens,
        outputTokens,
        provenance,
        fewestInput,
        fewestOutput,
        provider,
        upstreamId: upstreamId ?? headerId,
      };
    },
  };
}
