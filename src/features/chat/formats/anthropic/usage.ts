import { type Fields, toFields, toList } from '../../json-fields.js';
import { type Counts, greatest, mergeCounts, NO_COUNTS, parseCount } from '../../metering/evidence.js';

/** Reads what upstream counts, event by event. */
export type UsageReader = (usages: readonly unknown[]) => Counts | undefined;

/** Returns the sum of the numbers that are known; undefined where none is. */
function sum(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : known.reduce((total, number) => total + number, 0);
}

/** Counts of one usage object, those of the input by where it came from. */
interface InputParts {
  /** What was neither read from the cache nor written to it. */
  readonly fresh: number | undefined;
  readonly written: number | undefined;
  readonly read: number | undefined;
}

function parseInput(usage: Fields): InputParts {
  const written = Object.values(toFields(usage['cache_creation'])).map(parseCount);
  return {
    fresh: greatest(parseCount(usage['input_tokens']), parseCount(usage['prompt_tokens'])),
    written: greatest(parseCount(usage['cache_creation_input_tokens']), sum(written)),
    read: parseCount(usage['cache_read_input_tokens']),
  };
}

/** Returns all tokens of the input: only what was not cached is counted as `input_tokens`, and a cache is not free. */
const toInput = ({ fresh, written, read }: InputParts): number | undefined =>
  fresh === undefined ? undefined : sum([fresh, written, read]);

function parseOutput(usage: Fields): Pick<Counts, 'output' | 'total' | 'reasoning'> {
  return {
    output: greatest(parseCount(usage['output_tokens']), parseCount(usage['completion_tokens'])),
    total: parseCount(usage['total_tokens']),
    reasoning: parseCount(toFields(usage['output_tokens_details'])['thinking_tokens']),
  };
}

/**
 * Returns what all calls of a model came to that one answer took. Those that compact the conversation, or ask another
 * model for advice, stand nowhere else (Anthropic's documentation, "Compaction", "Understanding usage").
 */
function parseIterations(usage: Fields): Counts {
  const iterations = toList(usage['iterations']).map(toFields);
  return {
    ...NO_COUNTS,
    input: sum(iterations.map((iteration) => toInput(parseInput(iteration)))),
    output: sum(iterations.map((iteration) => parseOutput(iteration).output)),
  };
}

/**
 * Builds the reader of one answer's usage. Where it says nothing of the input that was not cached, that is as it was
 * told before; where it does, its parts belong together, as what was not cached yet at first may be cached in the end.
 */
export function createUsageReader(): UsageReader {
  let told: InputParts = { fresh: undefined, written: undefined, read: undefined };

  const readInput = (usage: Fields): number | undefined => {
    const { fresh, written, read } = parseInput(usage);
    const isApart = fresh === undefined;
    const parts = isApart
      ? { fresh: told.fresh, written: written ?? told.written, read: read ?? told.read }
      : { fresh, written, read };
    if ((toInput(parts) ?? 0) >= (toInput(told) ?? 0)) told = parts;
    return toInput(parts);
  };

  return (usages) => {
    const counted = usages.map(toFields).filter((usage) => Object.keys(usage).length > 0);
    if (counted.length === 0) return undefined;
    const counts = counted.flatMap((usage) => [
      { ...NO_COUNTS, ...parseOutput(usage), input: readInput(usage) },
      parseIterations(usage),
    ]);
    return counts.reduce(mergeCounts, NO_COUNTS);
  };
}
