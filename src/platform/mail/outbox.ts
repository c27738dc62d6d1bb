import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from '../../config/config.js';
import type { Database } from '../database/client/database.js';
import { ApiError } from '../errors.js';
import { createMailer } from './create-mailer.js';
import { createDelivery } from './delivery.js';
import type { MailBody } from './mailer.js';
import { createMailSealing } from './sealing.js';

const OUTBOX = 'outbox';

/** Mails that are kept in the database until they are sent. */
export interface Outbox {
  /**
   * Seals a mail for the database call that causes it: SQL keeps it in the same transaction, with the address it is
   * for, or leaves it. It is sent behind the answer's back, also after a restart; what becomes of it is logged,
   * without address or content.
   *
   * @param call makes the database call, given the sealed mail
   * @returns what the call returned
   */
  readonly post: <T>(body: MailBody, call: (sealed: string) => Promise<T>) => Promise<T>;
  /** Looks for mails that are due, such as those another server left behind; returns at once. */
  readonly wake: () => void;
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

/** Posts a mail where there is a mail server; the call is made in any case, without one given nothing. */
export function postIfPossible<T>(
  outbox: Outbox | undefined,
  body: MailBody,
  call: (sealed: string | undefined) => Promise<T>,
): Promise<T> {
  return outbox === undefined ? call(undefined) : outbox.post(body, call);
}

/** Dependencies of mail. */
export interface MailOptions {
  readonly database: Database;
  readonly config: Config['mail'];
  /** Whether mails without a mail server are printed to the log. */
  readonly embedded: boolean;
  /** Keys of 32 bytes: the first seals mails, all open them. */
  readonly keys: readonly [Buffer, ...Buffer[]];
}

const mail: FastifyPluginAsync<MailOptions> = async (app, { database, config, embedded, keys }) => {
  const mailer = createMailer(config, embedded, app.log);
  if (mailer === undefined) {
    app.decorate(OUTBOX, undefined);
    return;
  }
  const sealing = createMailSealing(keys);
  const delivery = createDelivery({ database, mailer, sealing, log: app.log });
  const outbox: Outbox = {
    post: async (body, call) => {
      try {
        return await call(sealing.seal(body));
      } finally {
        // The answer leaves first, so that it takes no longer where there is a mail.
        void nextTurn().then(delivery.wake);
      }
    },
    wake: delivery.wake,
  };
  app.decorate(OUTBOX, outbox);
  app.addHook('onClose', delivery.stop);
};

/** Opens one outbox for all features that send mail; the application closes when what is on its way is out. */
export default fp(mail, { name: 'mail' });
