import type { Static } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Outbox } from '../../platform/mail/outbox.js';
import { normalizeEmail } from '../email.js';
import { toNetwork } from '../limits/address.js';
import { getPasswords } from '../passwords.js';
import { createVerificationMessage } from '../sign-up/messages.js';
import { requireAdmission, toInvitationHash, toSignUpArguments } from '../sign-up/sign-up.js';
import { createOpaqueToken, sha256Hex } from '../tokens/crypto.js';
import type { LoginOptions } from './login.js';
import type { RegisterSchema } from './schemas.js';
import { requireOpened, SignInOutcomeSchema, type StartedSession } from './sessions.js';

/** Dependencies of registering. */
interface RegisterOptions extends LoginOptions {
  /** Undefined without a mail server: no link is mailed then. */
  readonly outbox: Outbox | undefined;
}

/**
 * Creates an account and logs it in. Where its tokens wait for the proof of the address, a link is mailed to it.
 * @throws {ApiError} SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN, PASSWORD_TOO_COMMON
 */
export async function register(
  { database, sessions, signUp, publicUrl, outbox }: RegisterOptions,
  request: FastifyRequest,
  { email, password, name, invitation }: Static<typeof RegisterSchema>,
): Promise<StartedSession> {
  requireAdmission(signUp, invitation);
  const p_email = normalizeEmail(email);
  const prepared = sessions.prepare(request);
  const account = {
    ...toSignUpArguments(signUp),
    p_email,
    p_password_hash: await getPasswords(request.server).hashNew(password, [email, name ?? ''], toNetwork(request)),
    p_session: prepared.p_session,
    ...(name !== undefined && { p_name: name.trim() }),
    ...(invitation !== undefined && { p_invitation_hash: toInvitationHash(invitation) }),
  };
  const openWith = (link: { p_verification_hash?: string; p_mail?: string }) =>
    database.call('register_user', { ...account, ...link }, SignInOutcomeSchema);
  if (outbox === undefined || signUp.mode === 'open') return requireOpened(await openWith({}), prepared);
  const token = createOpaqueToken();
  const outcome = await outbox.post(createVerificationMessage(publicUrl, token), (p_mail) =>
    openWith({ p_verification_hash: sha256Hex(token), p_mail }),
  );
  return requireOpened(outcome, prepared);
}
