const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Parses a duration as the configuration spells it (`15m`, `7d`) into seconds; NaN for any other form. */
export function parseDuration(duration: string): number {
  const [, amount = '', unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  const known = Object.entries(SECONDS).find(([letter]) => letter === unit);
  return Number(amount) * (known?.[1] ?? Number.NaN);
}
