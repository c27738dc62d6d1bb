import { type Static, Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import { AnyResult, type Database } from '../database/client/database.js';
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

/** Delivers what waits in the database, a few mails at a time, for as long as there is any. */
export interface Delivery {
  /** Looks for mails that are due, now or as soon as the round under way is over; returns at once. */
  readonly wake: () => void;
  /** Takes no more mails, waits for those on their way, and gives back what is not out after ten seconds. */
  readonly stop: () => Promise<void>;
}

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
  const sending = new Set<Promise<void>>();
  const stopping = new AbortController();
  let isStopped = false;
  let isWoken = false;
  let round: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const send = (mail: ClaimedMail) => {
    const sent = attempt(options, mail, stopping.signal)
      // The mail is due again when its minute is over.
      .catch((error: unknown) => log.warn({ err: error, mail: mail.id }, 'what became of a mail could not be kept'))
      .finally(() => {
        sending.delete(sent);
        // Only now it is known when the mail is due again, if it is.
        wake();
      });
    sending.add(sent);
  };

  const deliver = async (): Promise<void> => {
    while (!isStopped) {
      isWoken = false;
      if (sending.size >= CONCURRENT_MAILS) await Promise.race(sending);
      else {
        const p_limit = CONCURRENT_MAILS - sending.size;
        const { mails, expired, next_seconds } = await database.call('claim_mails', { p_limit }, ClaimSchema);
        if (expired.length > 0)
          log.warn({ kinds: expired }, 'mails given up: their time was over before they could be sent');
        for (const mail of mails) send(mail);
        if (mails.length === 0 && !isWoken) return sleep(next_seconds);
      }
    }
  };

  const sleep = (seconds: number | null): void => {
    clearTimeout(timer);
    if (seconds !== null) timer = setTimeout(wake, seconds * 1_000).unref();
  };

  const wake = (): void => {
    isWoken = true;
    if (isStopped || round !== undefined) return;
    round = deliver()
      .catch((error: unknown) => log.warn({ err: error }, 'the outbox could not be read; mail waits'))
      .finally(() => {
        round = undefined;
        // Woken while the round ended, which by then did not look any more.
        if (isWoken) wake();
      });
  };

  return {
    wake,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      const limit = setTimeout(() => stopping.abort(), stopLimitMs);
      await round;
      await Promise.all(sending);
      clearTimeout(limit);
    },
  };
}
