const NUMBER = /^\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/i;

/**
 * Parses a number that is not negative, also one written as text: `"5"`, `"5.0"`, `"1e3"`. A text with separators, such as
 * `"1,000"`, is none, as it means one or a thousand.
 * @returns undefined for anything else
 */
export function parseNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && NUMBER.test(value.trim()) ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : undefined;
}

/** Reads a count that old clients send with a fraction or as text, as a whole one; returns anything else as it is. */
export function readCount(value: unknown): unknown {
  const number = parseNumber(value);
  return number === undefined ? value : Math.round(number);
}
