import { domainToASCII, domainToUnicode } from 'node:url';
import { Type } from '@sinclair/typebox';
import { ApiError } from '../platform/errors.js';

const MAX_EMAIL_LENGTH = 320;

/** An e-mail address as somebody typed it; what more there is to it, {@link parseEmail} says. */
export const EmailSchema = Type.String({
  minLength: 3,
  maxLength: MAX_EMAIL_LENGTH,
  pattern: '^\\s*[^\\s@]+@[^\\s@]+\\s*$',
  examples: ['user@example.com'],
});

/** Control and format characters, unassigned ones and all that is not shown (Unicode's own lists). */
const INVISIBLE = /[\p{C}\p{Default_Ignorable_Code_Point}]/u;
/** A dot-atom (RFC 5322, §3.2.3), with the letters, marks and digits of every script (RFC 6531). */
const LOCAL_PART = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
/** What a domain may be made of before it is folded: no more, as URL parsers read other characters their own way. */
const DOMAIN = /^[\p{L}\p{M}\p{N}.\u3002-]+$/u;
/** Labels of RFC 1123, §2.1, the last one not a number: that would be an address of the network. */
const ASCII_DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Folds a domain to the one form it has in Unicode (UTS #46); undefined for what is no domain. */
function foldDomain(domain: string): string | undefined {
  if (!DOMAIN.test(domain)) return undefined;
  const ascii = domainToASCII(domain);
  if (!ASCII_DOMAIN.test(ascii) || ascii.length > 253) return undefined;
  const unicode = domainToUnicode(ascii);
  return DOMAIN.test(unicode) && !INVISIBLE.test(unicode) ? unicode : undefined;
}

/**
 * Parses an address into the one spelling accounts are kept under: trimmed, folded (Unicode NFKC), in lower case, its
 * domain in Unicode; undefined for what is no address, or holds what nobody sees.
 */
export function parseEmail(typed: string): string | undefined {
  const trimmed = typed.trim();
  if (INVISIBLE.test(trimmed)) return undefined;
  const [local = '', domain = '', ...others] = trimmed.normalize('NFKC').toLowerCase().normalize('NFC').split('@');
  const folded = foldDomain(domain);
  if (folded === undefined || others.length > 0 || !LOCAL_PART.test(local)) return undefined;
  const email = `${local}@${folded}`;
  return email.length <= MAX_EMAIL_LENGTH ? email : undefined;
}

/**
 * Returns the one spelling of an address, as {@link parseEmail}.
 * @throws {ApiError} VALIDATION_FAILED for what is no address
 */
export function normalizeEmail(typed: string): string {
  const email = parseEmail(typed);
  if (email !== undefined) return email;
  const message = 'Enter an e-mail address';
  throw new ApiError('VALIDATION_FAILED', { sentence: message, extras: { errors: [{ path: 'email', message }] } });
}
