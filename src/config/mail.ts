import { type Static, Type } from '@sinclair/typebox';
import { HeaderKey } from './variable-types.js';

/** The variables about mail. */
export const Mail = {
  SMTP_URL: Type.Optional(
    Type.String({
      pattern: '^smtps?://',
      description:
        'Mail server, smtp:// or smtps://, with user and password; with port 2525 where the host blocks 25, 465 and 587.',
    }),
  ),
  SENDGRID_API_KEY: HeaderKey("Send mail through SendGrid's HTTPS API instead of SMTP_URL."),
  SENDGRID_API_BASE: Type.String({
    default: 'https://api.sendgrid.com',
    pattern: '^https?://[^/]+/?$',
    description: "SendGrid's API; https://api.eu.sendgrid.com for its EU region; https, except on this machine.",
  }),
  FROM_EMAIL: Type.Optional(
    Type.String({ pattern: '^[^\\s@]+@[^\\s@]+$', description: 'Sender of the mails; needed with either.' }),
  ),
};

const MailSchema = Type.Object(Mail);

/** A mail server, and the sender of what goes through it. */
export interface SmtpConfig {
  readonly from: string;
  readonly smtpUrl: string;
}

/** SendGrid's API, and the sender of what goes through it. */
export interface SendGridConfig {
  readonly from: string;
  readonly sendGridApiKey: string;
  readonly sendGridApiBase: string;
}

/** Returns how mail is sent; undefined where it is not. */
export function toMailConfig(environment: Static<typeof MailSchema>): SmtpConfig | SendGridConfig | undefined {
  const { SMTP_URL, SENDGRID_API_KEY, SENDGRID_API_BASE, FROM_EMAIL } = environment;
  if (FROM_EMAIL === undefined) return undefined;
  if (SMTP_URL !== undefined) return { from: FROM_EMAIL, smtpUrl: SMTP_URL };
  if (SENDGRID_API_KEY === undefined) return undefined;
  return { from: FROM_EMAIL, sendGridApiKey: SENDGRID_API_KEY, sendGridApiBase: SENDGRID_API_BASE };
}
