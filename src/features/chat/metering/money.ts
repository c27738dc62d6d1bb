/** What a model costs upstream, in nano-dollars (10⁻⁹ US dollars), which may have a fraction. */
export interface ModelPrice {
  /** For a token of the prompt. */
  readonly input: number;
  /** For a token of the answer. */
  readonly output: number;
  /** For a request, whatever is in it. */
  readonly request: number;
}

type Fields = Readonly<Record<string, unknown>>;

const NANOS_PER_DOLLAR = 1e9;
/** A number as upstream writes money: in plain digits, or with an exponent. */
const MONEY = /^\d+(\.\d+)?(e[+-]?\d+)?$/i;
/** Nothing here costs more than a million dollars; a larger number is a mistake and counts as none. */
const MAX_DOLLARS = 1_000_000;
/** No token costs more than a hundred dollars. */
const MAX_PRICE_DOLLARS = 100;

/**
 * Reads US dollars, also those written as text, as nano-dollars.
 * @returns undefined for what is no amount, such as the price of -1 of a model that stands for others
 */
export function parseNanos(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !MONEY.test(text) || Number(text) > MAX_DOLLARS) return undefined;
  // To 12 digits, as 0.0000000375 dollars are 37.5 nano-dollars and not 37.49999999999999.
  return Number((Number(text) * NANOS_PER_DOLLAR).toPrecision(12));
}

/** Reads the prices of a model in upstream's list (OpenRouter, "List available models", `pricing`). */
export function parsePrice({ prompt, completion, request }: Fields): ModelPrice | undefined {
  const [input, output] = [parseNanos(prompt), parseNanos(completion)];
  const most = MAX_PRICE_DOLLARS * NANOS_PER_DOLLAR;
  if (input === undefined || output === undefined || Math.max(input, output) > most) return undefined;
  return { input, output, request: parseNanos(request) ?? 0 };
}

/**
 * Reads what upstream says a request costs, in whole nano-dollars: in the `usage` of an answer in any format, or in a
 * generation that is asked for (OpenRouter, "Usage accounting" and "Get a generation").
 * @param details what is below `cost_details`
 */
export function parseCost(usage: Fields, details: Fields = {}): number | undefined {
  const said = [usage['cost'], usage['total_cost'], usage['estimated_cost']].map(parseNanos);
  const amounts = said.filter((amount) => amount !== undefined);
  if (amounts.length === 0) return undefined;
  const charged = Math.max(...amounts);
  // With a key of the operator's own at the provider, upstream charges a fee, and the provider the rest.
  const provider = parseNanos(usage['upstream_inference_cost'] ?? details['upstream_inference_cost']) ?? 0;
  return Math.round(charged + (usage['is_byok'] === true ? provider : 0));
}
