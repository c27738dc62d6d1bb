import { createHash, randomBytes } from 'node:crypto';

/** A new secret of 256 random bits, as 43 characters of base64url. */
export function randomToken(): string {
  return randomBytes(32).toString('base64url');
}

/** SHA-256 of a token in hex: all the database keeps of it. */
export function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
