import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config/config.js';
import { smtpMailer } from './smtp.js';

/** A mail to one person; the sender is the configuration's. */
export interface MailMessage {
  /** One bare address. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** What delivers mail. */
export interface Mailer {
  /**
   * Delivers one message, once.
   * @param signal ends the attempt
   * @throws what went wrong, which may quote the address: it is not to be logged as it is
   */
  readonly send: (message: MailMessage, signal: AbortSignal) => Promise<void>;
}

/**
 * Prints mail instead of sending it. The only place where a secret is logged, the link in the mail: whoever tries the
 * embedded server has no mail server, and reads nobody's log but their own.
 */
function printingMailer(log: FastifyBaseLogger): Mailer {
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
 * Delivers by SMTP where the configuration names a server; otherwise the embedded set-up prints mail to the log.
 * @returns undefined where mail is disabled
 */
export function createMailer(config: Config['mail'], embedded: boolean, log: FastifyBaseLogger): Mailer | undefined {
  if (config !== undefined) return smtpMailer(config);
  return embedded ? printingMailer(log) : undefined;
}
