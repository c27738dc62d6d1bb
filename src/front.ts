import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildApp } from './app.js';
import type { Counters } from './auth/limits/counters.js';
import { createSecretWatch } from './auth/tokens/secret-watch.js';
import type { Config } from './config/config.js';
import { parseSecretList } from './config/secret-list.js';
import { StartupError, toSystemCode } from './config/startup-error.js';
import { findBulkChanges } from './features/admin/bulk/carry-on.js';
import { writeAlertMails } from './features/alerts/alert-mails.js';
import { findWebhookDelivery } from './features/webhooks/plugin.js';
import { startJobs } from './jobs/scheduler.js';
import type { Backend } from './platform/database/backend.js';
import { openReads } from './platform/database/replica/open-reads.js';
import { createReadiness } from './platform/health/readiness.js';
import { findOutbox } from './platform/mail/outbox.js';
import { listenForMetrics } from './platform/metrics/listen.js';
import { measureJob } from './platform/metrics/report.js';
import { shutDown } from './platform/shutdown.js';

/** What waits in the database until somebody looks for it: mails to send or yet to be written, events, and bulk changes. */
export type Round = 'mails' | 'alert-mails' | 'webhooks' | 'bulk-changes';

/** What answers requests: this process, or several others. */
export interface Front {
  /** Where it listens. */
  readonly url: string;
  /** Looks for what waits, in one process; returns at once. Without a mail server no mails are looked for. */
  readonly wake: (round: Round) => void;
  /** Takes no new work, and resolves when running requests have been answered. */
  readonly close: () => Promise<void>;
}

/** Connections that may wait to be taken: of a crowd that comes at once the rest would be a second late, or several. */
const BACKLOG = 4_096;

async function listen(app: FastifyInstance, config: Config): Promise<string> {
  try {
    return await app.listen({ host: config.http.host, port: config.http.port, backlog: BACKLOG });
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    const reason = code === 'EADDRINUSE' ? 'is already in use' : `cannot be listened on (${code})`;
    throw new StartupError(`PORT ${config.http.port} on ${config.http.host} ${reason}; set another PORT or HOST`, {
      cause: error,
    });
  }
}

/** Builds what looks for what waits; a failure is logged, and what waits is looked for again with the next round. */
function createWake(app: FastifyInstance, database: Backend['database'], site: string, log: Logger): Front['wake'] {
  const outbox = findOutbox(app);
  const webhooks = findWebhookDelivery(app);
  const writeMails = async () => {
    if (outbox === undefined) return;
    await measureJob('writing mails about alerts', () => writeAlertMails(database, outbox, site));
  };
  const looks: Readonly<Record<Round, () => void>> = {
    mails: () => outbox?.wake(),
    webhooks: webhooks.wake,
    'bulk-changes': findBulkChanges(app).wake,
    'alert-mails': () =>
      void writeMails().catch((error: unknown) => log.warn({ err: error }, 'writing mails about alerts failed')),
  };
  return (round) => looks[round]();
}

/** What a process is among others that answer requests. */
export interface FrontProcess {
  /** What limits are counted with, where not by itself. */
  readonly counters?: Counters;
  /** Which of the workers it is, from 1. */
  readonly worker?: number;
}

/** Has this process answer requests. */
export async function openFront(
  config: Config,
  backend: Backend,
  log: Logger,
  { counters, worker }: FrontProcess = {},
): Promise<Front> {
  const readiness = createReadiness(backend.database);
  const reads = await openReads(config, backend, log);
  const secrets = createSecretWatch(backend.database, parseSecretList(backend.jwtSecret), log);
  const app = await buildApp(config, backend, log, { readiness, counters, reads, findNotice: secrets.findProblem });
  const url = await listen(app, config);
  // A database of its own has no other server.
  const stopWatching = backend.embedded
    ? () => {}
    : startJobs(log, [{ name: 'comparing JWT_SECRET', run: secrets.look }]);
  const stopMetrics = await listenForMetrics(app, config.metrics.port, worker);
  return {
    url,
    wake: createWake(app, backend.database, config.http.publicUrl, log),
    close: async () => {
      readiness.drain();
      stopWatching();
      stopMetrics();
      await shutDown(app);
      await reads.close();
    },
  };
}
