import { type Static, Type } from '@sinclair/typebox';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { composeMail } from '../../platform/mail/compose.js';
import type { MailBody } from '../../platform/mail/mailer.js';
import type { Outbox } from '../../platform/mail/outbox.js';

const MAILS_A_CALL = 100;

const Count = Type.Optional(Type.Integer());
const AlertMailSchema = Type.Object({
  id: Type.String(),
  to_person: Type.Boolean(),
  type: Type.String(),
  data: Type.Object({
    subject_kind: Type.Optional(Type.String()),
    subject_id: Type.Optional(Type.String()),
    pool: Type.Optional(Type.String()),
    threshold: Count,
    allocated: Count,
    used: Count,
    total: Count,
    remaining: Count,
  }),
  occurred_at: Type.String(),
  device_name: Type.Union([Type.String(), Type.Null()]),
});
const AlertMailsSchema = Type.Array(AlertMailSchema);
type AlertMail = Static<typeof AlertMailSchema>;

const toText = (count = 0) => count.toLocaleString('en-US');

/** Names whose tokens a mail is about. */
function describeSubject({ to_person, data, device_name }: AlertMail): string {
  if (data.subject_kind === 'pool') return `the pool of ${data.pool}s`;
  // A name is what a stranger may have chosen: no line break gets into a subject.
  if (data.subject_kind === 'device') return `the device "${(device_name ?? 'unknown').replace(/\s+/g, ' ')}"`;
  return to_person ? 'your account' : `the account ${data.subject_id}`;
}

/** Composes what a mail about an alert says. @param site where clients reach the server */
function composeAlert(mail: AlertMail, site: string): MailBody {
  const { type, data, occurred_at } = mail;
  const closing = [`This was at ${occurred_at.slice(0, 16).replace('T', ' ')} UTC, on ${site}.`];
  if (type === 'ledger.discrepancy') {
    const opening = ['A check of the books found numbers that do not add up.', 'GET /admin/ledger/verify names them.'];
    return composeMail({ subject: 'The books do not add up', opening, closing });
  }
  const subject = describeSubject(mail);
  const numbers =
    data.subject_kind === 'pool'
      ? `${toText(data.allocated)} of ${toText(data.total)} tokens are handed out.`
      : `${toText(data.used)} of ${toText(data.allocated)} tokens are used, ${toText(data.remaining)} are left.`;
  const title =
    type === 'balance.exhausted' ? `No tokens left: ${subject}` : `${data.threshold} % of the tokens used: ${subject}`;
  return composeMail({ subject: title, opening: [`This is about ${subject}.`, numbers], closing });
}

/**
 * Writes the mails about alerts that the database asks for and puts them into the outbox, each once whichever server
 * comes first.
 */
export async function writeAlertMails(database: Database, outbox: Outbox, site: string): Promise<void> {
  for (;;) {
    const mails = await database.call('list_alert_mails', { p_limit: MAILS_A_CALL }, AlertMailsSchema);
    for (const mail of mails) {
      await outbox.post(composeAlert(mail, site), (p_mail) =>
        database.call('queue_alert_mail', { p_id: mail.id, p_mail }, AnyResult),
      );
    }
    if (mails.length < MAILS_A_CALL) return;
  }
}
