import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Keys of 32 bytes each: the first seals, all open. */
export type SealingKeys = readonly [Buffer, ...Buffer[]];

/** Keeps texts from whoever reads the database. */
export interface Sealing {
  /** Encrypts a text, as base64. */
  readonly seal: (text: string) => string;
  /** Decrypts one. @throws where it was sealed with none of the keys, or changed */
  readonly open: (sealed: string) => string;
}

function decrypt(key: Buffer, bytes: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return text.toString('utf8');
  } catch {
    return undefined;
  }
}

/** Builds the sealing of texts with AES-256-GCM. */
export function createSealing(keys: SealingKeys): Sealing {
  return {
    seal: (text) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, keys[0], nonce, { authTagLength: TAG_BYTES });
      const sealed = [cipher.update(text, 'utf8'), cipher.final()];
      return Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]).toString('base64');
    },
    open: (sealed) => {
      const bytes = Buffer.from(sealed, 'base64');
      for (const key of keys) {
        const text = decrypt(key, bytes);
        if (text !== undefined) return text;
      }
      throw new Error('sealed with a secret that is not in JWT_SECRET');
    },
  };
}
