import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config/config.js';
import type { Mailer } from './mailer.js';
import { createSendGridMailer } from './sendgrid.js';
import { createSmtpMailer } from './smtp.js';

/**
 * Prints mail instead of sending it. The only place where a secret is logged, the link in the mail: whoever tries the
 * embedded server has no mail server, and reads nobody's log but their own.
 */
function createPrintingMailer(log: FastifyBaseLogger): Mailer {
  return {
    send: async ({ to, subject, text }) => {
      log.warn(
        { to, subject, lines: text.split('\n') },
        'MAIL NOT SENT, as no SMTP_URL is set; it would have said this',
      );
    },
  };
}

/**
 * Builds what delivers mail: by SMTP or through SendGrid, whichever is configured; otherwise the embedded set-up prints
 * mail to the log.
 * @returns undefined where mail is disabled
 */
export function createMailer(config: Config['mail'], embedded: boolean, log: FastifyBaseLogger): Mailer | undefined {
  if (config === undefined) return embedded ? createPrintingMailer(log) : undefined;
  return 'smtpUrl' in config ? createSmtpMailer(config) : createSendGridMailer(config);
}
