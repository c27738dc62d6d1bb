import { domainToASCII } from 'node:url';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { SendGridConfig } from '../../config/mail.js';
import { MailFailure, toLoggedDetails } from './failure.js';
import type { Mailer, MailMessage } from './mailer.js';

const RefusalSchema = Type.Object({
  errors: Type.Array(Type.Object({ field: Type.Optional(Type.Union([Type.String(), Type.Null()])) })),
});

const TIMEOUT_MS = 15_000;
const LONGEST_WAIT_SECONDS = 3_600;

/** Returns an address as SendGrid takes it: its domain in ASCII (RFC 5890). */
function toAscii(address: string): string {
  const at = address.lastIndexOf('@');
  return `${address.slice(0, at)}@${domainToASCII(address.slice(at + 1)) || address.slice(at + 1)}`;
}

function toRequestBody(from: string, { to, subject, text, html }: MailMessage) {
  return {
    personalizations: [{ to: [{ email: toAscii(to) }] }],
    from: { email: from },
    subject,
    content: [
      { type: 'text/plain', value: text },
      { type: 'text/html', value: html },
    ],
    // Nobody out of office shall answer (RFC 3834).
    headers: { 'Auto-Submitted': 'auto-generated' },
    // SendGrid would lead links through a host of its own, secrets and all, and put an image into the mail.
    tracking_settings: {
      click_tracking: { enable: false, enable_text: false },
      open_tracking: { enable: false },
      subscription_tracking: { enable: false },
    },
  };
}

/** Returns which fields of a request SendGrid names in its refusal; its sentences may quote the address. */
function namedFields({ errors }: Static<typeof RefusalSchema>): string[] {
  return errors.flatMap(({ field }) => (field && /^[\w.[\]-]{1,100}$/.test(field) ? [field] : []));
}

/** Returns how long SendGrid wants to be left alone, in seconds, where it says so. */
function toWaitSeconds(headers: Headers): number | undefined {
  const reset = Number(headers.get('x-ratelimit-reset') ?? Number.NaN) - Date.now() / 1_000;
  const seconds = Number(headers.get('retry-after') ?? reset);
  return seconds > 0 ? Math.min(Math.ceil(seconds), LONGEST_WAIT_SECONDS) : undefined;
}

/** Tells why a request was not accepted. A sender that is not verified, or a key that is wrong, can be set right. */
async function toFailure(response: Response): Promise<MailFailure> {
  const { status } = response;
  const answer: unknown = await response.json().catch(() => undefined);
  const fields = Value.Check(RefusalSchema, answer) ? namedFields(answer) : [];
  const isAboutSender = fields.some((field) => field.split('.')[0] === 'from');
  const isRefused = status === 413 || (status === 400 && !isAboutSender);
  return new MailFailure({ status, ...(fields.length > 0 && { fields }) }, isRefused, toWaitSeconds(response.headers));
}

/** Builds a mailer that delivers through SendGrid's API (v3), which is HTTPS and so passes where mail ports are blocked. */
export function createSendGridMailer({ from, sendGridApiKey, sendGridApiBase }: SendGridConfig): Mailer {
  const url = `${sendGridApiBase.replace(/\/+$/, '')}/v3/mail/send`;
  const headers = { authorization: `Bearer ${sendGridApiKey}`, 'content-type': 'application/json' };
  return {
    send: async (message, signal) => {
      const response = await fetch(url, {
        method: 'POST',
        headers,
        body: JSON.stringify(toRequestBody(from, message)),
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      }).catch((error: unknown) => {
        throw new MailFailure(toLoggedDetails(error), false, undefined, { cause: error });
      });
      if (!response.ok) throw await toFailure(response);
      await response.body?.cancel();
    },
  };
}
