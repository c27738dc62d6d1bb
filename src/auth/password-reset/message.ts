import escapeHtml from 'escape-html';
import type { MailMessage } from '../../platform/mail/mailer.js';

const SUBJECT = 'Set a new password';

/**
 * Creates the mail with the link.
 *
 * @param to whose account it is
 * @param site where the server is, as people know it, without a slash at the end
 * @param token what the link carries behind its `#`, which browsers send to no server
 */
export function createResetMessage(to: string, site: string, token: string): MailMessage {
  const link = `${site}/reset-password#token=${token}`;
  const opening = `Somebody, most likely you, asked for a new password for your account at ${site}.`;
  const instruction = 'To choose one, open this link within 30 minutes. It works once.';
  const closing = 'If it was not you, ignore this mail: your password stays as it is.';
  const href = escapeHtml(link);
  return {
    to,
    subject: SUBJECT,
    text: [opening, '', instruction, '', link, '', closing, ''].join('\n'),
    html: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${SUBJECT}</title></head>
<body style="font-family: sans-serif; line-height: 1.5">
<p>${escapeHtml(opening)}</p>
<p>${escapeHtml(instruction)}</p>
<p><a href="${href}">${href}</a></p>
<p>${escapeHtml(closing)}</p>
</body>
</html>
`,
  };
}
