const MIN_LENGTH = 32;

/**
 * Parses `JWT_SECRET`: one secret, or several separated by commas or white space. The first signs; all verify, so that
 * a new one can take the place of an old one without logging anybody out.
 */
export function parseSecretList(setting: string): string[] {
  return setting.split(/[\s,]+/).filter((secret) => secret !== '');
}

/** Returns whether a setting lists secrets that are all long enough. */
export function isSecretList(setting: string): boolean {
  const secrets = parseSecretList(setting);
  return secrets.length > 0 && secrets.every(({ length }) => length >= MIN_LENGTH);
}
