/** Parses a comma-separated variable into its trimmed entries, none where it is not set. */
export function parseList(variable: string | undefined): string[] {
  return variable === undefined ? [] : variable.split(',').map((entry) => entry.trim());
}
