/** Browsers by what they call themselves; those that also call themselves another come first. */
const BROWSERS = [
  ['Edg/', 'Edge'],
  ['OPR/', 'Opera'],
  ['Firefox/', 'Firefox'],
  ['Chrome/', 'Chrome'],
  ['Safari/', 'Safari'],
] as const;
const SYSTEMS = [
  ['Android', 'Android'],
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['Windows', 'Windows'],
  ['Mac OS X', 'macOS'],
  ['Linux', 'Linux'],
] as const;

/** Returns a browser and its system by the names people know, or a program by the first word of its own; undefined for none. */
export function nameBrowser(userAgent: string | null): string | undefined {
  if (userAgent === null || userAgent === '') return undefined;
  const find = (names: readonly (readonly [string, string])[]) => names.find(([mark]) => userAgent.includes(mark))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser === undefined) return userAgent.split(/[\s/]/, 1)[0];
  return system === undefined ? browser : `${browser}, ${system}`;
}
