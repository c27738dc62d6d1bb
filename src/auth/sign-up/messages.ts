import { composeMail } from '../../platform/mail/compose.js';
import type { MailBody } from '../../platform/mail/mailer.js';

/** Returns the link that verifies an address; browsers send what is behind its `#` to no server. */
const toLink = (site: string, token: string) => `${site}/verify-email#token=${token}`;

/**
 * Creates the mail that verifies the address of an account.
 * @param site where the server is, as people know it, without a slash at the end
 */
export function createVerificationMessage(site: string, token: string): MailBody {
  return composeMail({
    subject: 'Verify your e-mail address',
    opening: [
      `Somebody, most likely you, created an account with this address at ${site}.`,
      'If it was you, open this link within 24 hours and confirm. It works once.',
    ],
    link: toLink(site, token),
    closing: [
      'If it was not you, do not confirm: whoever created the account would keep its password. Ignore this mail, and the account stays without tokens.',
    ],
  });
}

/** Creates the mail that makes an address the one of an account that has another so far. */
export function createChangeMessage(site: string, token: string): MailBody {
  return composeMail({
    subject: 'Confirm your new e-mail address',
    opening: [
      `Somebody, most likely you, wants to use this address for their account at ${site}.`,
      'If it was you, open this link within 24 hours and confirm. It works once.',
    ],
    link: toLink(site, token),
    closing: ['If it was not you, do not confirm: the account is not yours. Ignore this mail, and nothing changes.'],
  });
}

/** Creates the notice to the address an account is about to give up. */
export function createChangeNotice(site: string, newEmail: string): MailBody {
  return composeMail({
    subject: 'Your e-mail address is about to change',
    opening: [
      `Somebody, most likely you, asked to change the address of your account at ${site} to ${newEmail}.`,
      'It changes once the link mailed there is followed.',
    ],
    closing: ['If it was not you, set a new password at once: somebody is logged in to your account.'],
  });
}
