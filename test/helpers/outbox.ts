import { randomBytes } from 'node:crypto';
import type { Delivery } from '../../src/platform/delivery-rounds.js';
import { createDelivery } from '../../src/platform/mail/delivery.js';
import type { Mailer } from '../../src/platform/mail/mailer.js';
import { createMailSealing } from '../../src/platform/mail/sealing.js';
import type { TestDatabase } from './db/test-database.js';
import { keepingLogger } from './http/log-lines.js';
import type { TestServer } from './http/test-server.js';

const BODY = { subject: 'Hello', text: 'Hello\n', html: '<p>Hello</p>' };
const sealing = createMailSealing([randomBytes(32)]);

/** Starts delivering from a server's database, as the server itself would, with a log to read. */
export function openDelivery(
  server: Pick<TestServer, 'backend'>,
  mailer: Mailer,
  stopLimitMs?: number,
): Delivery & { readonly lines: readonly string[] } {
  const { lines, logger } = keepingLogger();
  const { database } = server.backend;
  const options = { database, mailer, sealing, log: logger, ...(stopLimitMs !== undefined && { stopLimitMs }) };
  return { ...createDelivery(options), lines };
}

/** Queues notices, one to each address. */
export async function queueNotices(database: TestDatabase, addresses: readonly string[]): Promise<void> {
  await database.sql(
    `select private.queue_mail('notice', address, null, $2, interval '1 hour') from unnest($1::text[]) as address`,
    [addresses, sealing.seal(BODY)],
  );
}

/** Lets every mail be due now. */
export async function makeDue(database: TestDatabase): Promise<void> {
  await database.sql('update private.mails set due_at = now()');
}

/** Counts the mails that wait, the address of each tried so often. */
export function waitingMails(database: TestDatabase): Promise<{ recipient: string; attempts: number }[]> {
  return database.sql('select recipient, attempts from private.mails where recipient is not null order by recipient');
}
