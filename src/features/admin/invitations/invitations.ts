import type { Static } from '@sinclair/typebox';
import { normalizeEmail } from '../../../auth/email.js';
import type { Actor } from '../../../auth/guards/admin-guard.js';
import { toInvitationHash } from '../../../auth/sign-up/sign-up.js';
import { createOpaqueToken } from '../../../auth/tokens/crypto.js';
import type { Database } from '../../../platform/database/client/database.js';
import { composeMail } from '../../../platform/mail/compose.js';
import type { MailBody } from '../../../platform/mail/mailer.js';
import { type Outbox, postIfPossible } from '../../../platform/mail/outbox.js';
import { type CreatedInvitationSchema, type CreateInvitationSchema, InvitationSchema } from './invitation-schemas.js';

const DEFAULT_DAYS = 7;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** Dependencies of inviting. */
export interface InvitationOptions {
  readonly database: Database;
  /** Where clients reach the server, without a slash at the end. */
  readonly publicUrl: string;
}

function createInvitationMessage(site: string, link: string, days: number): MailBody {
  const end = new Date(Date.now() + days * DAY_MS);
  return composeMail({
    subject: 'You are invited',
    opening: [`You are invited to have an account at ${site}.`, 'To make it, open this link. It works once.'],
    link,
    closing: [`It ends on ${end.toISOString().slice(0, 10)}. If you do not want an account, ignore this mail.`],
  });
}

/**
 * Creates an invitation; its code is in the answer and nowhere else. One that is bound to an address is mailed there.
 * @param outbox undefined without a mail server
 * @throws {DatabaseError} EMAIL_TAKEN where the address has an account
 */
export async function createInvitation(
  { database, publicUrl }: InvitationOptions,
  outbox: Outbox | undefined,
  actor: Actor,
  { email, tokens, expires_in_days = DEFAULT_DAYS }: Static<typeof CreateInvitationSchema>,
): Promise<Static<typeof CreatedInvitationSchema>> {
  const code = createOpaqueToken();
  const p_email = email === undefined ? undefined : normalizeEmail(email);
  const request = {
    p_actor: actor,
    p_code_hash: toInvitationHash(code),
    p_days: expires_in_days,
    ...(p_email !== undefined && { p_email }),
    ...(tokens !== undefined && { p_tokens: tokens }),
  };
  const link = `${publicUrl}/invitation#${new URLSearchParams({ code, ...(p_email !== undefined && { email: p_email }) })}`;
  const message = createInvitationMessage(publicUrl, link, expires_in_days);
  const mailed = p_email !== undefined && outbox !== undefined;
  const invitation = await postIfPossible(mailed ? outbox : undefined, message, (p_mail) =>
    database.call('create_invitation', { ...request, ...(p_mail !== undefined && { p_mail }) }, InvitationSchema),
  );
  return { ...invitation, code, link, mailed };
}
