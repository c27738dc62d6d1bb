import type { FastifyInstance } from 'fastify';
import { composeMail } from '../platform/mail/compose.js';
import { findOutbox, postIfPossible } from '../platform/mail/outbox.js';

/** What happened to an account that its owner should know, should it not have been them. */
export type AccountEvent =
  | 'new_password'
  | 'new_api_key'
  | 'new_network'
  | 'second_factor_on'
  | 'second_factor_off'
  | 'recovery_code_used'
  | 'new_recovery_codes'
  | 'deleted';

const SUBJECTS: Readonly<Record<AccountEvent, string>> = {
  new_password: 'Your password was set',
  new_api_key: 'A new API key for your account',
  new_network: 'A sign-in from a new network',
  second_factor_on: 'Your second factor was turned on',
  second_factor_off: 'Your second factor was turned off',
  recovery_code_used: 'A recovery code of yours was used',
  new_recovery_codes: 'You have new recovery codes',
  deleted: 'Your account was deleted',
};

const SENTENCES: Readonly<Record<AccountEvent, string>> = {
  new_password: 'A new password was set for your account at',
  new_api_key: 'An API key, which opens your account to a script, was created for your account at',
  new_network: 'Somebody, most likely you, signed in from a network that was not seen before to your account at',
  second_factor_on: 'Signing in asks for the code of a second factor from now on, for your account at',
  second_factor_off: 'Signing in asks for no code of a second factor any more, for your account at',
  recovery_code_used: 'A recovery code, which stands in for your second factor once, was used for your account at',
  new_recovery_codes: 'New recovery codes took the place of those there were, for your account at',
  deleted: 'Somebody, most likely you, deleted your account at',
};

const ADVICE = 'If it was not you, set a new password there at once, and look at your sessions and API keys.';
const ADVICE_AFTER_DELETION = 'If it was not you, tell those who run the server: it cannot be brought back.';

/** Tells people what happened to their accounts. */
export interface AccountNotices {
  /**
   * Mails a notice, where there is a mail server, with the database call that makes it true; 20 an hour to one address.
   * @param call makes the call, given the argument that has the notice
   */
  readonly post: <T>(event: AccountEvent, call: (notice: { readonly p_notice?: string }) => Promise<T>) => Promise<T>;
  /**
   * Mails a notice where the session that a call opens turns out to come from a network that was not seen before.
   * @param address the network address it comes from
   * @param call makes the call, given the session with its notice
   */
  readonly postForSession: <Session extends object, T>(
    address: string,
    session: Session,
    call: (session: Session & { readonly notice?: string }) => Promise<T>,
  ) => Promise<T>;
}

/** Builds what mails notices. @param site where the server is, as people know it */
export function createAccountNotices(app: FastifyInstance, site: string): AccountNotices {
  const compose = (event: AccountEvent, address?: string) =>
    composeMail({
      subject: SUBJECTS[event],
      opening: [
        `${SENTENCES[event]} ${site}.`,
        ...(address === undefined ? [] : [`The request came from ${address}.`]),
      ],
      closing: [event === 'deleted' ? ADVICE_AFTER_DELETION : ADVICE],
    });
  return {
    post: (event, call) =>
      postIfPossible(findOutbox(app), compose(event), (p_notice) => call(p_notice === undefined ? {} : { p_notice })),
    postForSession: (address, session, call) =>
      postIfPossible(findOutbox(app), compose('new_network', address), (notice) =>
        call(notice === undefined ? session : { ...session, notice }),
      ),
  };
}
