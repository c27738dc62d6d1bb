import type { Config } from '../../config/config.js';

/**
 * Returns what the operator should know about who gets tokens here, a line each; none where nothing is unusual.
 * @param embedded whether mails without a mail server are printed to the log
 */
export function listSignUpNotices({ signUp, chat, stripe, mail }: Config, embedded: boolean): string[] {
  const { mode, defaultTokens } = signUp;
  const tokens = defaultTokens.toLocaleString('en');
  const notices: string[] = [];
  if (mode === 'open' && defaultTokens > 0 && (chat !== undefined || stripe !== undefined)) {
    notices.push(
      `SIGNUP=open: whoever makes up an e-mail address gets ${tokens} tokens at once, which you pay for; SIGNUP=verified pays them once per verified address`,
    );
  }
  if (mode === 'verified' && mail === undefined) {
    notices.push(
      embedded
        ? 'SIGNUP=verified without a mail server: links for verifying an address are printed to this log; set SMTP_URL or SENDGRID_API_KEY to mail them'
        : `SIGNUP=verified without a mail server: nobody can verify an address with a link, so new accounts start without their ${tokens} tokens, unless they sign in with Google or GitHub or an admin verifies them; set SMTP_URL or SENDGRID_API_KEY`,
    );
  }
  return notices;
}
