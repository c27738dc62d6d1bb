import type { LightMyRequestResponse } from 'fastify';
import { registerUser, type TestUser } from './accounts.js';
import type { SmtpServer } from './fakes/smtp-server.js';
import type { TestServer } from './http/test-server.js';
import { until } from './until.js';

/** The tokens an account starts with unless a test sets others. */
export const DEFAULT_TOKENS = 1_000_000;

/** Uses the token of a mailed link. */
export function verifyEmail(server: Pick<TestServer, 'app'>, token: string): Promise<LightMyRequestResponse> {
  return server.app.inject({ method: 'POST', url: '/api/auth/verify-email', payload: { token } });
}

/** Asks for another link. */
export function resend(server: Pick<TestServer, 'app'>, email: string): Promise<LightMyRequestResponse> {
  return server.app.inject({ method: 'POST', url: '/api/auth/verify-email/resend', payload: { email } });
}

/** Returns the token of the verification link in a text, or an empty one. */
export function tokenIn(text: string): string {
  return /\/verify-email#token=([\w-]+)/.exec(text)?.[1] ?? '';
}

/** Waits for the n-th link mailed to an address and returns its token. */
export async function mailedLink(smtp: SmtpServer, email: string, n = 1): Promise<string> {
  const mail = await until('the link arrives', () => {
    const links = smtp.mails.filter(({ to, text }) => to.includes(email) && tokenIn(text) !== '');
    return links[n - 1];
  });
  return tokenIn(mail.text);
}

/** Registers an account and follows the link mailed to it. */
export async function registerVerified(server: TestServer, smtp: SmtpServer, email?: string): Promise<TestUser> {
  const user = await registerUser(server, email === undefined ? {} : { email });
  const count = smtp.mails.filter(({ to, text }) => to.includes(user.email) && tokenIn(text) !== '').length;
  await verifyEmail(server, await mailedLink(smtp, user.email, Math.max(count, 1)));
  return user;
}

/** Reads what is left on an account's balance. */
export async function tokensLeft(user: TestUser): Promise<number> {
  const balance = await user.as('GET', '/api/users/me/balance');
  return balance.json<{ remaining: number }>().remaining;
}
