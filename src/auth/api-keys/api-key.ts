import { createHash, randomBytes } from 'node:crypto';

const PREFIX = 'tlk_';
const RANDOM_LENGTH = 50;
const CHECKSUM_LENGTH = 6;
const FORM = new RegExp(`^${PREFIX}[0-9a-z]{${RANDOM_LENGTH + CHECKSUM_LENGTH}}$`);
const SHOWN_LENGTH = PREFIX.length + 8;

function base36(bytes: Buffer): string {
  return BigInt(`0x${bytes.toString('hex')}`).toString(36);
}

function computeChecksum(random: string): string {
  const digest = createHash('sha256')
    .update(PREFIX + random)
    .digest();
  return base36(digest).padStart(RANDOM_LENGTH, '0').slice(-CHECKSUM_LENGTH);
}

/** Creates an API key: 256 random bits and a checksum, so that a mistyped or made-up key costs no look-up. */
export function createApiKey(): string {
  const random = base36(randomBytes(32)).padStart(RANDOM_LENGTH, '0');
  return PREFIX + random + computeChecksum(random);
}

/** Returns whether a bearer token claims to be an API key. */
export function looksLikeApiKey(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** Returns whether a text is an API key this server could have made: its form and its checksum. */
export function isApiKey(token: string): boolean {
  if (!FORM.test(token)) return false;
  const random = token.slice(PREFIX.length, PREFIX.length + RANDOM_LENGTH);
  return token.endsWith(computeChecksum(random));
}

/** Returns what may be shown of a key, to tell it from others: its first characters. */
export function toShownPrefix(key: string): string {
  return key.slice(0, SHOWN_LENGTH);
}
