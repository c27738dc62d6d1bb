const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_557_600 } as const;

/**
 * Parses a duration as the configuration spells it (`15m`, `7d`, `1y`; a number alone is seconds) into seconds; NaN for
 * any other form. A year has 365.25 days, as for libraries that make tokens.
 */
export function parseDuration(duration: string): number {
  const [, amount = '', unit = 's'] = /^(\d+)([smhdwy]?)$/.exec(duration) ?? [];
  const known = Object.entries(SECONDS).find(([letter]) => letter === (unit || 's'));
  return amount === '' ? Number.NaN : Number(amount) * (known?.[1] ?? Number.NaN);
}
