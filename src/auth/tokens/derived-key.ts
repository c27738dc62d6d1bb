import { hkdfSync } from 'node:crypto';

/**
 * Derives a key of 32 bytes for one purpose from the server's secret (HKDF-SHA256, RFC 5869), so that what is made
 * with it means nothing to any other purpose.
 */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `tokenledger ${purpose}`, 32));
}
