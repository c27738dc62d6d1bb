import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { MailBody } from './mailer.js';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const BodySchema = Type.Object({ subject: Type.String(), text: Type.String(), html: Type.String() });

/** Keeps what mails say from whoever reads the database: their links open accounts. */
export interface MailSealing {
  /** Encrypts a mail, as base64. */
  readonly seal: (body: MailBody) => string;
  /** Decrypts one. @throws where it was sealed with none of the keys, or changed */
  readonly open: (sealed: string) => MailBody;
}

function decrypt(key: Buffer, bytes: Buffer): Static<typeof BodySchema> | undefined {
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    const body: unknown = JSON.parse(text.toString('utf8'));
    return Value.Check(BodySchema, body) ? body : undefined;
  } catch {
    return undefined;
  }
}

/** Builds the sealing of mails. @param keys 32 bytes each: the first seals, all open */
export function createMailSealing(keys: readonly [Buffer, ...Buffer[]]): MailSealing {
  return {
    seal: ({ subject, text, html }) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, keys[0], nonce, { authTagLength: TAG_BYTES });
      const sealed = [cipher.update(JSON.stringify({ subject, text, html }), 'utf8'), cipher.final()];
      return Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]).toString('base64');
    },
    open: (sealed) => {
      const bytes = Buffer.from(sealed, 'base64');
      for (const key of keys) {
        const body = decrypt(key, bytes);
        if (body !== undefined) return body;
      }
      throw new Error('sealed with a secret that is not in JWT_SECRET');
    },
  };
}
