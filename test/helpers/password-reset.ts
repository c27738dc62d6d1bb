import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import type { SmtpServer } from './fakes/smtp-server.js';
import { until } from './until.js';

export const SITE = 'https://tokens.example';
export const NEW_PASSWORD = 'a horse of another colour';

/** Returns the settings of a server that mails through a test's own mail server. */
export function mailEnvironment(smtp: SmtpServer): Record<string, string> {
  return { SMTP_URL: smtp.url, FROM_EMAIL: 'noreply@tokens.example', PUBLIC_URL: `${SITE}/` };
}

/** Asks for a link. */
export function askForLink(
  app: FastifyInstance,
  email: string,
  headers: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  return app.inject({ method: 'POST', url: '/api/auth/forgot-password', headers, payload: { email } });
}

/** Uses a link. */
export function resetPassword(
  app: FastifyInstance,
  token: string,
  new_password = NEW_PASSWORD,
): Promise<LightMyRequestResponse> {
  return app.inject({ method: 'POST', url: '/api/auth/reset-password', payload: { token, new_password } });
}

/** Returns the token of the link in a text, or an empty one. */
export function tokenIn(text: string): string {
  return /\/reset-password#token=([\w-]+)/.exec(text)?.[1] ?? '';
}

/** Asks for a link, waits for its mail and returns the token in it. */
export async function mailedToken(app: FastifyInstance, smtp: SmtpServer, email: string): Promise<string> {
  // Other mails may be on their way to them as well.
  const received = () => smtp.mails.filter(({ to, text }) => to.includes(email) && tokenIn(text) !== '');
  const before = received().length;
  await askForLink(app, email);
  const mail = await until('the mail arrives', () => received()[before]);
  return tokenIn(mail.text);
}
