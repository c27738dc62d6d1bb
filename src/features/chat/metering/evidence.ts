import type { Fewest, UsageReport } from './chat-meter.js';

/** Nobody bills more than this for one request; a larger number is a mistake and counts as none. */
const MAX_TOKENS = 1_000_000_000;
/** A number as some upstreams write it: digits, perhaps with a fraction or an exponent, within a string. */
const TEXTUAL_NUMBER = /^\d+(\.\d+)?(e\+?\d+)?$/i;

/** Bytes of an answer that are at least one token, whatever the tokenizer. */
const ANSWER_BYTES_PER_TOKEN = 8;
/** How much smaller than ours another tokenizer's count of the same text may be. */
const TOKENIZER_TOLERANCE = 3 / 4;
/** The same for prompts, more leniently: upstream may leave out parts that do not fit or that a model cannot use. */
const PROMPT_BYTES_PER_TOKEN = 16;
const PROMPT_TOLERANCE = 1 / 4;

/** What upstream said of a request's tokens; a count is undefined where it is missing or makes no sense. */
export interface Counts {
  readonly input: number | undefined;
  readonly output: number | undefined;
  readonly total: number | undefined;
  /** Usually a part of the output. */
  readonly reasoning: number | undefined;
}

export const NO_COUNTS: Counts = { input: undefined, output: undefined, total: undefined, reasoning: undefined };

/** A text that somebody pays for. */
export interface Measure {
  readonly bytes: number;
  /** Its tokens by our own tokenizer; undefined where they are not counted. */
  readonly counted: number | undefined;
  /** Tokens held for it, which is all that may have passed: no estimate is higher. */
  readonly held: number;
}

/** All that is known of what a request used. */
export interface Evidence {
  readonly said: Counts;
  /** Whether upstream came to its end, so that what it said is no intermediate state. */
  readonly isFinal: boolean;
  /** What the request carried. */
  readonly prompt: Measure;
  /** What passed through here of the answer. */
  readonly answer: Measure;
}

/** What a request is billed, and for which side upstream's count could not be taken as it is. */
export interface Verdict extends Pick<UsageReport, 'inputTokens' | 'outputTokens' | 'provenance'>, Required<Fewest> {
  readonly isInputEstimated: boolean;
  readonly isOutputEstimated: boolean;
}

/** Reads a number of tokens, also one that is a float (rounded up) or written as text; undefined where it is none. */
export function parseCount(value: unknown): number | undefined {
  const text = typeof value === 'string' ? value.trim() : undefined;
  const number = text !== undefined && TEXTUAL_NUMBER.test(text) ? Number(text) : value;
  if (typeof number !== 'number' || !(number >= 0 && number <= MAX_TOKENS)) return undefined;
  return Math.ceil(number) || 0;
}

/** Returns the greatest of the numbers that are known. */
export function greatest(...numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/**
 * Joins what upstream said at two times, each count by itself: counts grow while a stream goes on, so that zeros, nulls
 * and repetitions after the real count do not lower it.
 */
export function mergeCounts(one: Counts, other: Counts): Counts {
  return {
    input: greatest(one.input, other.input),
    output: greatest(one.output, other.output),
    total: greatest(one.total, other.total),
    reasoning: greatest(one.reasoning, other.reasoning),
  };
}

/** Returns whether upstream counted any tokens at all. */
export function hasTokens(counts: Counts = NO_COUNTS): boolean {
  return Object.values(counts).some((count: number | undefined) => count !== undefined && count > 0);
}

/** Returns both sides of what upstream said, one derived from the others where it is missing. */
export function deriveSides({ input, output, total, reasoning }: Counts): Pick<Counts, 'input' | 'output'> {
  // A part is never more than the whole: reasoning that is more than the output has not been counted in it.
  const isApart = reasoning !== undefined && output !== undefined && reasoning > output;
  const written = isApart ? output + reasoning : output;
  if (total === undefined) return { input, output: written };
  const rest = input === undefined ? undefined : Math.max(total - input, 0);
  return {
    input: input ?? (written === undefined ? undefined : Math.max(total - written, 0)),
    output: greatest(written, rest),
  };
}

/** Returns the fewest tokens an answer can be, 0 for an empty one. */
function fewestAnswerTokens({ bytes, counted }: Measure): number {
  const byLength = Math.ceil(bytes / ANSWER_BYTES_PER_TOKEN);
  return counted === undefined ? byLength : Math.min(byLength, Math.ceil(counted * TOKENIZER_TOLERANCE));
}

/** Returns the fewest tokens a prompt can be: there is none without a token. */
function fewestPromptTokens({ bytes, counted }: Measure): number {
  const byLength = Math.floor(bytes / PROMPT_BYTES_PER_TOKEN);
  const fewest = counted === undefined ? byLength : Math.min(byLength, Math.floor(counted * PROMPT_TOLERANCE));
  return Math.max(fewest, 1);
}

const estimate = ({ counted, held }: Measure): number => Math.min(counted ?? held, held);

/**
 * Decides what a request is billed, from three sources that may contradict each other: what upstream said, the text
 * that passed through here, and what the request carried. Upstream's count stands unless it is missing, an intermediate
 * state, or less than the text can be; then the greater of it and our own estimate does, to be corrected when upstream
 * tells more. No estimate exceeds what was held, and no bill is less than the text that was passed on can be.
 */
export function judgeUsage({ said, isFinal, prompt, answer }: Evidence): Verdict {
  const { input, output } = deriveSides(said);
  // An answer of nothing, of which upstream says that it used nothing, is free.
  const isEmpty = isFinal && answer.bytes === 0 && !hasTokens(said);
  const fewestInput = isEmpty ? 0 : fewestPromptTokens(prompt);
  const fewestOutput = fewestAnswerTokens(answer);

  const isInputEstimated = input === undefined || input < fewestInput;
  const inputTokens = isInputEstimated ? Math.max(input ?? 0, estimate(prompt), 1) : input;
  const isOutputEstimated = output === undefined || output < fewestOutput || !isFinal;
  const floor = greatest(output, said.reasoning, said.total === undefined ? 0 : said.total - inputTokens) ?? 0;
  const outputTokens = isOutputEstimated ? Math.max(floor, estimate(answer)) : output;
  return {
    inputTokens,
    outputTokens,
    fewestInput,
    fewestOutput,
    provenance: isInputEstimated || isOutputEstimated ? 'estimated' : 'provider_final',
    isInputEstimated,
    isOutputEstimated,
  };
}
