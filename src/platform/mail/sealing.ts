import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { createSealing, type SealingKeys } from '../sealing.js';
import type { MailBody } from './mailer.js';

const BodySchema = Type.Object({ subject: Type.String(), text: Type.String(), html: Type.String() });

/** Keeps what mails say from whoever reads the database: their links open accounts. */
export interface MailSealing {
  /** Encrypts a mail, as base64. */
  readonly seal: (body: MailBody) => string;
  /** Decrypts one. @throws where it was sealed with none of the keys, or changed */
  readonly open: (sealed: string) => MailBody;
}

/** Builds the sealing of mails. */
export function createMailSealing(keys: SealingKeys): MailSealing {
  const sealing = createSealing(keys);
  return {
    seal: ({ subject, text, html }) => sealing.seal(JSON.stringify({ subject, text, html })),
    open: (sealed) => {
      const body: unknown = JSON.parse(sealing.open(sealed));
      if (!Value.Check(BodySchema, body)) throw new Error('what was sealed is no mail');
      return body;
    },
  };
}
