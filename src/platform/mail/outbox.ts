import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import pLimit from 'p-limit';
import type { Config } from '../../config/config.js';
import { ApiError } from '../errors.js';
import { createMailer, type Mailer, type MailMessage } from './mailer.js';

const OUTBOX = 'outbox';
const CONCURRENT_MAILS = 5;
const PENDING_MAILS = 1_000;

/** How long deliveries are tried, in milliseconds. */
interface Patience {
  /** Pauses before further attempts. */
  readonly retryDelays: readonly number[];
  /** How long closing waits. */
  readonly closeLimit: number;
}
const PATIENCE: Patience = { retryDelays: [500, 2_000], closeLimit: 10_000 };

/** Mail on its way, behind the answers' backs. */
export interface Outbox {
  /** Takes a message and returns at once; what becomes of it is logged, without address or content. */
  readonly post: (message: MailMessage) => void;
  /** Waits for what is on its way, ten seconds at most, then gives it up. */
  readonly close: () => Promise<void>;
}

/** What nodemailer's errors have besides their message, which quotes what mail servers say, addresses included. */
const REPORTED = ['name', 'code', 'originalCode', 'command', 'responseCode'] as const;

/** Returns what may be logged of a failed delivery. */
function toLoggedFailure(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return {};
  return Object.fromEntries(REPORTED.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : [])));
}

/** Returns whether the mail server refused for good (RFC 5321, 4.2.1), so that another attempt is of no use. */
function isPermanent(error: unknown): boolean {
  return error instanceof Error && 'permanent' in error && error.permanent === true;
}

/** Delivers messages a few at a time, each in up to three attempts. */
export function openOutbox(mailer: Mailer, log: FastifyBaseLogger, patience = PATIENCE): Outbox {
  const limit = pLimit(CONCURRENT_MAILS);
  const pending = new Set<Promise<void>>();
  const closing = new AbortController();

  const deliver = async (message: MailMessage): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await mailer.send(message, closing.signal);
      } catch (error) {
        const pause = patience.retryDelays[attempt - 1];
        const goesOn = pause !== undefined && !isPermanent(error) && !closing.signal.aborted;
        log.warn({ failure: toLoggedFailure(error), attempt }, goesOn ? 'mail failed; trying again' : 'mail given up');
        if (!goesOn) return;
        await delay(pause, undefined, { signal: closing.signal }).catch(() => {});
      }
    }
  };

  return {
    post: (message) => {
      if (pending.size >= PENDING_MAILS) return log.warn({}, 'mail given up: too many wait already');
      // The answer leaves first, so that it takes no longer where there is a mail.
      const sent = nextTurn()
        .then(() => limit(deliver, message))
        .finally(() => pending.delete(sent));
      pending.add(sent);
    },
    close: async () => {
      const timer = setTimeout(() => closing.abort(), patience.closeLimit);
      await Promise.all(pending);
      clearTimeout(timer);
    },
  };
}

/** Returns where mail is posted, or undefined without a mail server. */
export function findOutbox(app: FastifyInstance): Outbox | undefined {
  return app.getDecorator<Outbox | undefined>(OUTBOX);
}

/**
 * Returns where mail is posted.
 * @throws {ApiError} MAIL_DISABLED without a mail server
 */
export function requireOutbox(app: FastifyInstance): Outbox {
  const outbox = findOutbox(app);
  if (outbox === undefined) throw new ApiError('MAIL_DISABLED');
  return outbox;
}

const mail: FastifyPluginAsync<{ config: Config['mail']; embedded: boolean }> = async (app, { config, embedded }) => {
  const mailer = createMailer(config, embedded, app.log);
  const outbox = mailer && openOutbox(mailer, app.log);
  app.decorate(OUTBOX, outbox);
  app.addHook('onClose', async () => outbox?.close());
};

/** Opens one outbox for all features that send mail; the application closes when it is empty. */
export default fp(mail, { name: 'mail' });
