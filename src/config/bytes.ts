const BYTES: Readonly<Record<string, number>> = { K: 1024, M: 1024 * 1024 };

/** Converts a size such as `20MiB` or `4096`, as the environment schema allows it, to bytes. */
export function parseBytes(size: string): number {
  const [, number, unit = ''] = /^([0-9]+) ?([KM]?)/.exec(size) ?? [];
  return Number(number) * (BYTES[unit] ?? 1);
}
