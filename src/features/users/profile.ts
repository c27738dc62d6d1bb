import type { Static } from '@sinclair/typebox';
import { normalizeEmail } from '../../auth/email.js';
import { createChangeMessage, createChangeNotice } from '../../auth/sign-up/messages.js';
import { createOpaqueToken, sha256Hex } from '../../auth/tokens/crypto.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Outbox } from '../../platform/mail/outbox.js';
import { ProfileSchema, type UpdateProfileSchema } from './schemas.js';

/** Dependencies of changing a profile. */
export interface ProfileServices {
  readonly database: Database;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
  /** Returns where mail is posted, or undefined without a mail server. */
  readonly findOutbox: () => Outbox | undefined;
}

/**
 * Changes name and picture at once. A new address is mailed a link and the present one a notice; it is the account's
 * when the link is followed.
 * @throws {DatabaseError} EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, or MAIL_DISABLED without a mail server, for a new address
 */
export async function updateProfile(
  { database, publicUrl, findOutbox }: ProfileServices,
  caller: Caller,
  changes: Static<typeof UpdateProfileSchema>,
): Promise<Static<typeof ProfileSchema>> {
  const { name, email } = changes;
  const p_changes = { ...changes, ...(typeof name === 'string' && { name: name.trim() }) };
  if (email === undefined) return database.call('update_profile', { p_caller: caller, p_changes }, ProfileSchema);
  const outbox = findOutbox();
  const token = createOpaqueToken();
  const wanted = { ...p_changes, email: normalizeEmail(email) };
  const change = { p_caller: caller, p_changes: wanted };
  if (outbox === undefined) return database.call('update_profile', change, ProfileSchema);
  const p_token_hash = sha256Hex(token);
  return outbox.post(createChangeMessage(publicUrl, token), (p_mail) =>
    outbox.post(createChangeNotice(publicUrl, wanted.email), (p_notice) =>
      database.call('update_profile', { ...change, p_token_hash, p_mail, p_notice }, ProfileSchema),
    ),
  );
}
