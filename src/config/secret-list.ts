const MIN_LENGTH = 32;

const splitSecrets = (setting: string) => setting.split(/[\s,]+/).filter((part) => part !== '');
const isLong = ({ length }: string) => length >= MIN_LENGTH;

/**
 * Parses `JWT_SECRET`: one secret, or several separated by commas or white space. The first signs; all verify, so that
 * a new one can take the place of an old one without logging anybody out. A sentence of short words is one secret.
 */
export function parseSecretList(setting: string): string[] {
  const secrets = splitSecrets(setting);
  return secrets.every(isLong) ? secrets : [setting];
}

/** Returns whether a setting is a secret that is long enough, or lists several that all are. */
export function isSecretList(setting: string): boolean {
  const secrets = splitSecrets(setting);
  const isSentence = secrets.length > 0 && !secrets.some(isLong);
  return isSentence ? isLong(setting) : secrets.length > 0 && secrets.every(isLong);
}
