import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config/config.js';
import { createSendGridMailer } from './sendgrid.js';
import { createSmtpMailer } from './smtp.js';

/** What a mail says, composed. */
export interface MailBody {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** A mail to one person; the sender is the configuration's. */
export interface MailMessage extends MailBody {
  /** Names the mail, the same at every attempt. */
  readonly id: string;
  /** One bare address. */
  readonly to: string;
}

/** Delivers mail. */
export interface Mailer {
  /**
   * Delivers one message, once.
   * @param signal ends the attempt
   * @throws {MailFailure} or another error, which may quote the address: it is not to be logged as it is
   */
  readonly send: (message: MailMessage, signal: AbortSignal) => Promise<void>;
}

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
