import { createHash, randomBytes } from 'node:crypto';

/** Creates a secret of 256 random bits, as 43 characters of base64url. */
export function createOpaqueToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Returns the SHA-256 of a token in hex: all the database keeps of it. */
export function sha256Hex(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
