const WHOLE = /^-?[0-9]{1,16}$/;

/**
 * Reads a whole number that is written as text, in decimal digits: `"5"`. Anything that could mean another number, such as
 * `"1,000"`, `"5.0"` or `"1e3"`, or that is too large to be exact, is returned as it is, for a schema to refuse.
 */
export function readWholeNumber(value: unknown): unknown {
  if (typeof value !== 'string' || !WHOLE.test(value.trim())) return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
