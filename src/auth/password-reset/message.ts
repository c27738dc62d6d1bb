import { composeMail } from '../../platform/mail/compose.js';
import type { MailBody } from '../../platform/mail/mailer.js';

/**
 * Creates the mail with the link.
 *
 * @param site where the server is, as people know it, without a slash at the end
 * @param token what the link carries behind its `#`, which browsers send to no server
 * @param email goes with it: password managers must know whose password is set
 */
export function createResetMessage(site: string, token: string, email: string): MailBody {
  return composeMail({
    subject: 'Set a new password',
    opening: [
      `Somebody, most likely you, asked for a new password for your account at ${site}.`,
      'To choose one, open this link within 30 minutes. It works once.',
    ],
    link: `${site}/reset-password#${new URLSearchParams({ token, email })}`,
    closing: ['If it was not you, ignore this mail: your password stays as it is.'],
  });
}
