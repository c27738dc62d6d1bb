import type { FastifyInstance } from 'fastify';
import { composeMail } from '../platform/mail/compose.js';
import { findOutbox } from '../platform/mail/outbox.js';
import { NOTICES } from './limits/policies.js';
import { getLimiter } from './limits/rate-limits.js';
import { sha256Hex } from './tokens/crypto.js';

/** What happened to an account that its owner should know, should it not have been them. */
export type AccountEvent = 'new_password' | 'new_api_key' | 'new_network' | 'deleted';

const SUBJECTS: Readonly<Record<AccountEvent, string>> = {
  new_password: 'Your password was set',
  new_api_key: 'A new API key for your account',
  new_network: 'A sign-in from a new network',
  deleted: 'Your account was deleted',
};

const SENTENCES: Readonly<Record<AccountEvent, string>> = {
  new_password: 'A new password was set for your account at',
  new_api_key: 'An API key, which opens your account to a script, was created for your account at',
  new_network: 'Somebody, most likely you, signed in from a network that was not seen before to your account at',
  deleted: 'Somebody, most likely you, deleted your account at',
};

const ADVICE = 'If it was not you, set a new password there at once, and look at your sessions and API keys.';
const ADVICE_AFTER_DELETION = 'If it was not you, tell those who run the server: it cannot be brought back.';

/** Tells people what happened to their accounts. */
export interface AccountNotices {
  /**
   * Mails a notice behind the answer's back, where there is a mail server; 20 an hour to one address.
   * @param address the network address it came from, if that says anything
   */
  readonly post: (to: string, event: AccountEvent, address?: string) => void;
}

/** Builds what mails notices. @param site where the server is, as people know it */
export function createAccountNotices(app: FastifyInstance, site: string): AccountNotices {
  return {
    post: (to, event, address) => {
      const from = address === undefined ? [] : [`The request came from ${address}.`];
      const message = composeMail({
        to,
        subject: SUBJECTS[event],
        opening: [`${SENTENCES[event]} ${site}.`, ...from],
        closing: [event === 'deleted' ? ADVICE_AFTER_DELETION : ADVICE],
      });
      const outbox = findOutbox(app);
      if (outbox === undefined) return;
      getLimiter(app)
        .count(NOTICES, sha256Hex(to))
        .then(
          () => outbox.post(message),
          () => app.log.info({}, 'a notice was not mailed: too many to one address'),
        );
    },
  };
}
