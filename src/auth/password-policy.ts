import { ApiError } from '../platform/errors.js';
import type { BreachedPasswords } from './breached-passwords.js';

/** Shortest password, in UTF-16 units after normalization. */
export const MIN_PASSWORD_LENGTH = 8;
/** Shortest name that is looked for: shorter ones say nothing about a password. */
const MIN_NAME_LENGTH = 3;

async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return new Set(dictionary['passwords-common']);
}

let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/** Returns whether everybody tries this password first; most such are from leaks. */
async function isCommon(password: string): Promise<boolean> {
  // Loading the list takes longer than hashing: processes that never see a new password do without.
  commonPasswords ??= loadCommonPasswords();
  return (await commonPasswords).has(password.toLowerCase());
}

/** Returns the letters of a text: what it says without the digits and signs people add. */
function toLetters(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}]/gu, '');
}

/** Returns whether a password says nothing but whose it is: an address, the part before its @, or a name. */
function isPersonal(password: string, own: readonly string[]): boolean {
  const letters = toLetters(password);
  return own
    .flatMap((text) => [text, text.split('@')[0] ?? ''])
    .map(toLetters)
    .some((name) => name.length >= MIN_NAME_LENGTH && name === letters);
}

/**
 * Rejects a password, in Unicode NFKC, that is easy to guess.
 * @param own what is known of whoever chooses it: address, name
 * @throws {ApiError} VALIDATION_FAILED, PASSWORD_TOO_COMMON, PASSWORD_PERSONAL, PASSWORD_BREACHED
 */
export async function requireGoodPassword(
  password: string,
  own: readonly string[],
  breached: BreachedPasswords | undefined,
): Promise<void> {
  if (password.length < MIN_PASSWORD_LENGTH) {
    throw new ApiError('VALIDATION_FAILED', {
      sentence: `The password needs at least ${MIN_PASSWORD_LENGTH} characters`,
    });
  }
  if (await isCommon(password)) throw new ApiError('PASSWORD_TOO_COMMON');
  if (isPersonal(password, own)) throw new ApiError('PASSWORD_PERSONAL');
  if (await breached?.has(password)) throw new ApiError('PASSWORD_BREACHED');
}
