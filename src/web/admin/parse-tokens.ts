/** Parses a whole number somebody typed, with or without separators; undefined where it is none. */
export function parseTokens(text: string, least = 0): number | undefined {
  const plain = text.trim().replaceAll(/[\s_'’]/g, '');
  if (!/^-?\d{1,3}([.,]\d{3})*$|^-?\d+$/.test(plain)) return undefined;
  const value = Number(plain.replaceAll(/[.,]/g, ''));
  return Number.isSafeInteger(value) && value >= least ? value : undefined;
}
