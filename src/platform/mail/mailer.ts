import { isIP } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../../config/config.js';

/** A mail to one person; the sender is the configuration's. */
export interface MailMessage {
  /** One bare address. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** Delivers mail. */
export interface Mailer {
  /**
   * Delivers one message, once.
   * @param signal ends the attempt
   * @throws what went wrong, which may quote the address: it is not to be logged as it is
   */
  readonly send: (message: MailMessage, signal: AbortSignal) => Promise<void>;
}

type MailConfig = NonNullable<Config['mail']>;

const SENDGRID = { host: 'smtp.sendgrid.net', port: 465, secure: true } as const;
const TIMEOUTS = {
  dnsTimeout: 5_000,
  connectionTimeout: 5_000,
  greetingTimeout: 10_000,
  socketTimeout: 10_000,
  socketCloseTimeout: 1_000,
} as const;

/** Nobody out of office shall answer (RFC 3834). */
const AUTOMATIC = { 'Auto-Submitted': 'auto-generated' } as const;
/** SendGrid would lead links through a host of its own, secrets and all, and put an image into the mail. */
const UNTRACKED = {
  'X-SMTPAPI': JSON.stringify({
    filters: { clicktrack: { settings: { enable: 0 } }, opentrack: { settings: { enable: 0 } } },
  }),
} as const;

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** A login is never sent in clear to another machine, unless the URL ends in `?requireTLS=false`. */
function needsTls(url: URL): boolean {
  const isOptional = url.searchParams.get('requireTLS') === 'false';
  return url.protocol === 'smtp:' && url.username !== '' && !isLoopback(url.hostname) && !isOptional;
}

/** Returns how the mail server is reached, as nodemailer takes it, and the headers every mail carries. */
export function toSmtpSettings(config: MailConfig) {
  const options = { ...TIMEOUTS, logger: false, disableFileAccess: true, disableUrlAccess: true };
  if ('smtpUrl' in config) {
    const encryption = needsTls(new URL(config.smtpUrl)) && { requireTLS: true };
    return { options: { ...options, ...encryption, url: config.smtpUrl }, headers: AUTOMATIC };
  }
  const auth = { user: 'apikey', pass: config.sendGridApiKey };
  return { options: { ...options, ...SENDGRID, auth }, headers: { ...AUTOMATIC, ...UNTRACKED } };
}

/** Builds a mailer that delivers by SMTP, a connection for each mail. */
export function createSmtpMailer(config: MailConfig): Mailer {
  const { options, headers } = toSmtpSettings(config);
  return {
    send: async ({ to, subject, text, html }, signal) => {
      // Loaded with the first mail, as most servers send none for a long time.
      const { createTransport } = await import('nodemailer');
      const transport = createTransport(options);
      // As an object an address is one address, whatever characters it has.
      const recipient = { name: '', address: to };
      await transport.sendMail({ from: config.from, to: recipient, subject, text, html, headers, signal });
    },
  };
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
 * Builds what delivers mail: by SMTP where the configuration names a server; otherwise the embedded set-up prints mail to the log.
 * @returns undefined where mail is disabled
 */
export function createMailer(config: Config['mail'], embedded: boolean, log: FastifyBaseLogger): Mailer | undefined {
  if (config !== undefined) return createSmtpMailer(config);
  return embedded ? createPrintingMailer(log) : undefined;
}
