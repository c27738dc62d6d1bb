import { type Fields, toFields } from '../../json-fields.js';
import { type Counts, greatest, mergeCounts, NO_COUNTS, parseCount } from '../../metering/evidence.js';
import { parseCost } from '../../metering/money.js';

/** Returns the greatest count of those under any of the names. */
const readCount = (fields: Fields, ...names: readonly string[]) =>
  greatest(...names.map((name) => parseCount(fields[name])));

/** Returns a whole with its part: one that is more than the whole has not been counted in it. */
const addApart = (whole: number | undefined, part: number | undefined) =>
  whole !== undefined && part !== undefined && part > whole ? whole + part : whole;

function parseCounts(usage: unknown): Counts {
  const fields = toFields(usage);
  const cost = parseCost(fields, toFields(fields['cost_details']));
  const details = [fields, toFields(fields['completion_tokens_details']), toFields(fields['output_tokens_details'])];
  const inputDetails = [fields['prompt_tokens_details'], fields['input_tokens_details']].map(toFields);
  const cached = greatest(...inputDetails.map((detail) => readCount(detail, 'cached_tokens')));
  return {
    input: addApart(readCount(fields, 'prompt_tokens', 'input_tokens'), cached),
    output: readCount(fields, 'completion_tokens', 'output_tokens'),
    total: readCount(fields, 'total_tokens'),
    reasoning: greatest(...details.map((detail) => readCount(detail, 'reasoning_tokens'))),
    ...(cost !== undefined && { cost }),
  };
}

/** Returns the objects under the name `usage` of an object, and of those directly in it. */
function findUsages(value: unknown): unknown[] {
  const fields = toFields(value);
  const nested = Object.values(fields).map((member) => toFields(member)['usage']);
  return [fields['usage'], ...nested].filter((usage) => Object.keys(toFields(usage)).length > 0);
}

/**
 * Reads what upstream counts: in the chunk, in a choice, or in an extension of some provider's such as `x_groq`.
 * @returns undefined where it says nothing
 */
export function parseUsage(chunk: Fields, choices: readonly unknown[]): Counts | undefined {
  const usages = [chunk, ...choices].flatMap(findUsages);
  return usages.length === 0 ? undefined : usages.map(parseCounts).reduce(mergeCounts, NO_COUNTS);
}
