import { createHash, hkdfSync, randomBytes } from 'node:crypto';

/** Creates a secret of 256 random bits, as 43 characters of base64url. */
export function createOpaqueToken(): string {
  return randomBytes(32).toString('base64url');
}

/** Returns the SHA-256 of a token in hex: all the database keeps of it. */
export function sha256Hex(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * Derives a key of 32 bytes for one purpose from the server's secret (HKDF-SHA256, RFC 5869), so that what is made
 * with it means nothing to any other purpose.
 */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `tokenledger ${purpose}`, 32));
}

/** Derives a key for one purpose from each of the server's secrets, in their order. */
export function deriveKeys([first = '', ...others]: readonly string[], purpose: string): [Buffer, ...Buffer[]] {
  return [deriveKey(first, purpose), ...others.map((secret) => deriveKey(secret, purpose))];
}
