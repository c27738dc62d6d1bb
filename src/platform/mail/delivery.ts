import { type Static, Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import { AnyResult, type Database } from '../database/client/database.js';
import { createDeliveryRounds, type Delivery } from '../delivery-rounds.js';
import { reportDelivery } from '../metrics/report.js';
import { MailFailure, toLoggedDetails } from './failure.js';
import type { Mailer } from './mailer.js';
import type { MailSealing } from './sealing.js';

const CONCURRENT_MAILS = 5;
/** Half of what SQL lets a mail to one server for. */
const ATTEMPT_LIMIT_MS = 30_000;
/** How long stopping waits for what is on its way. */
const STOP_LIMIT_MS = 10_000;

const ClaimedMailSchema = Type.Object({
  id: Type.String(),
  kind: Type.String(),
  to: Type.String(),
  sealed: Type.String(),
  attempt: Type.Integer(),
});
type ClaimedMail = Static<typeof ClaimedMailSchema>;
const ClaimSchema = Type.Object({
  mails: Type.Array(ClaimedMailSchema),
  expired: Type.Array(Type.String()),
  next_seconds: Type.Union([Type.Integer(), Type.Null()]),
});

/** Dependencies of delivering. */
export interface DeliveryOptions {
  readonly database: Database;
  readonly mailer: Mailer;
  readonly sealing: MailSealing;
  readonly log: FastifyBaseLogger;
  /** How long stopping waits, in milliseconds. */
  readonly stopLimitMs?: number;
}

/** Makes one attempt and tells the database how it ended; what is logged has no address and no content. */
async function attempt(options: DeliveryOptions, mail: ClaimedMail, stopping: AbortSignal): Promise<void> {
  const { database, mailer, sealing, log } = options;
  const { id, to, kind, attempt: p_attempt } = mail;
  const settle = (p_outcome: string, p_wait_seconds?: number) => {
    reportDelivery('mail', p_outcome);
    const outcome = { p_id: id, p_attempt, p_outcome, ...(p_wait_seconds !== undefined && { p_wait_seconds }) };
    return database.call('settle_mail', outcome, AnyResult);
  };
  try {
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(ATTEMPT_LIMIT_MS)]);
    await mailer.send({ id, to, ...sealing.open(mail.sealed) }, signal);
  } catch (error) {
    const told = { mail: id, kind, attempt: p_attempt, failure: toLoggedDetails(error) };
    if (stopping.aborted) {
      log.warn(told, 'mail not sent yet, as the server stops; it stays in the outbox');
      await settle('released');
    } else if (error instanceof MailFailure && error.isRefused) {
      log.warn(told, 'mail given up: it was refused for good');
      await settle('refused');
    } else {
      log.warn(told, 'mail failed; it will be tried again');
      await settle('failed', error instanceof MailFailure ? error.waitSeconds : undefined);
    }
    return;
  }
  await settle('sent');
}

/** Starts delivering when it is woken. Any number of servers may deliver from one database. */
export function createDelivery(options: DeliveryOptions): Delivery {
  const { database, log, stopLimitMs = STOP_LIMIT_MS } = options;
  return createDeliveryRounds<ClaimedMail>({
    name: 'mail',
    concurrency: CONCURRENT_MAILS,
    claim: async (p_limit) => {
      const { mails, expired, next_seconds } = await database.call('claim_mails', { p_limit }, ClaimSchema);
      if (expired.length > 0)
        log.warn({ kinds: expired }, 'mails given up: their time was over before they could be sent');
      return { items: mails, nextSeconds: next_seconds };
    },
    attempt: (mail, stopping) => attempt(options, mail, stopping),
    log,
    stopLimitMs,
  });
}
