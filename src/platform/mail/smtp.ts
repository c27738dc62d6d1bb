import { isIP } from 'node:net';
import type { SmtpConfig } from '../../config/mail.js';
import { MailFailure, toLoggedDetails } from './failure.js';
import type { Mailer } from './mailer.js';

const TIMEOUTS = {
  dnsTimeout: 5_000,
  connectionTimeout: 5_000,
  greetingTimeout: 10_000,
  socketTimeout: 10_000,
  socketCloseTimeout: 1_000,
} as const;

/** Nobody out of office shall answer (RFC 3834). */
const AUTOMATIC = { 'Auto-Submitted': 'auto-generated' } as const;

/** Commands whose refusal is about this mail: its recipient or its content. The others are about the account at the server. */
const ABOUT_THE_MAIL: readonly unknown[] = ['RCPT TO', 'DATA', 'API'];

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** A login is never sent in clear to another machine, unless the URL ends in `?requireTLS=false`. */
function needsTls(url: URL): boolean {
  const isOptional = url.searchParams.get('requireTLS') === 'false';
  return url.protocol === 'smtp:' && url.username !== '' && !isLoopback(url.hostname) && !isOptional;
}

/** Returns how the mail server is reached, as nodemailer takes it. */
export function toSmtpOptions({ smtpUrl }: Pick<SmtpConfig, 'smtpUrl'>) {
  const encryption = needsTls(new URL(smtpUrl)) && { requireTLS: true };
  return { ...TIMEOUTS, logger: false, disableFileAccess: true, disableUrlAccess: true, ...encryption, url: smtpUrl };
}

/** Tells whether the mail itself was refused for good (RFC 5321, 4.2.1). A wrong password is not, as it can be set right. */
function isRefusal(error: Error): boolean {
  const isOurMistake = 'code' in error && error.code === 'EENVELOPE' && 'command' in error && error.command === 'API';
  const isPermanent = 'permanent' in error && error.permanent === true;
  return isOurMistake || (isPermanent && 'command' in error && ABOUT_THE_MAIL.includes(error.command));
}

/** Builds a mailer that delivers by SMTP, a connection for each mail. */
export function createSmtpMailer(config: SmtpConfig): Mailer {
  const options = toSmtpOptions(config);
  const site = config.from.slice(config.from.lastIndexOf('@') + 1);
  return {
    send: async ({ id, to, subject, text, html }, signal) => {
      // Loaded with the first mail, as most servers send none for a long time.
      const { createTransport } = await import('nodemailer');
      const transport = createTransport(options);
      // As an object an address is one address, whatever characters it has.
      const recipient = { name: '', address: to };
      const envelope = { from: config.from, to: recipient, headers: AUTOMATIC, messageId: `<${id}@${site}>` };
      await transport.sendMail({ ...envelope, subject, text, html, signal }).catch((error: unknown) => {
        if (!(error instanceof Error)) throw error;
        throw new MailFailure(toLoggedDetails(error), isRefusal(error), undefined, { cause: error });
      });
    },
  };
}
