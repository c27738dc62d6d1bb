import { Type } from '@sinclair/typebox';
import { ApiError } from '../platform/errors.js';

/** Characters nobody sees, which could make two addresses look the same. */
const INVISIBLE = '\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff';
const MAX_EMAIL_LENGTH = 320;

/** An e-mail address as somebody typed it. */
export const EmailSchema = Type.String({
  minLength: 3,
  maxLength: MAX_EMAIL_LENGTH,
  pattern: `^\\s*[^\\s@${INVISIBLE}]+@[^\\s@${INVISIBLE}]+\\s*$`,
  examples: ['user@example.com'],
});

/**
 * Returns the one spelling of an address accounts are kept under: trimmed, composed (Unicode NFC), in lower case.
 * @throws {ApiError} VALIDATION_FAILED where that is longer than an address may be
 */
export function normalizeEmail(email: string): string {
  const normal = email.trim().normalize('NFC').toLowerCase();
  if (normal.length <= MAX_EMAIL_LENGTH) return normal;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'email is too long' });
}
