import { toFields } from './fields.js';

/** What a model costs upstream, in nano-dollars (10⁻⁹ USD), which may have a fraction. */
export interface ModelPrice {
  /** For a token of the prompt. */
  readonly input: number;
  /** For a token of the answer. */
  readonly output: number;
  /** For a request, whatever is in it. */
  readonly request: number;
}

const NANOS_PER_DOLLAR = 1e9;
/** A number as upstream writes prices: in plain digits, or with an exponent. */
const PRICE = /^\d+(\.\d+)?(e[+-]?\d+)?$/i;
/** No token costs more than a hundred dollars. */
const MAX_PRICE_DOLLARS = 100;

/** Reads US dollars as nano-dollars; undefined for what is no price, such as the -1 of models that others stand in for. */
export function parseNanos(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !PRICE.test(text)) return undefined;
  // To 12 digits, as 0.0000000375 dollars are 37.5 nano-dollars and not 37.49999999999999.
  return Number((Number(text) * NANOS_PER_DOLLAR).toPrecision(12));
}

/** Reads the prices of a model in upstream's list (OpenRouter, "List available models", `pricing`). */
export function parsePrice(pricing: unknown): ModelPrice | undefined {
  const { prompt, completion, request } = toFields(pricing);
  const [input, output] = [parseNanos(prompt), parseNanos(completion)];
  const most = MAX_PRICE_DOLLARS * NANOS_PER_DOLLAR;
  if (input === undefined || output === undefined || Math.max(input, output) > most) return undefined;
  return { input, output, request: parseNanos(request) ?? 0 };
}
