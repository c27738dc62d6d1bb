import cluster from 'node:cluster';
import { once } from 'node:events';
import { type Config, parseConfig } from '../config/config.js';
import { loadEnvironmentFile } from '../config/environment-file.js';
import { toWorkerPoolSize } from '../config/pool-size.js';
import { formatFatalError, StartupError } from '../config/startup-error.js';
import { type Front, openFront } from '../front.js';
import { type Backend, openBackend, openDirect } from '../platform/database/backend.js';
import { closeErrorReports, openErrorReports, reportError } from '../platform/error-reports.js';
import { requireSchema } from '../platform/health/readiness.js';
import { createLogger } from '../platform/logging.js';
import { type FromSupervisor, type FromWorker, readFromSupervisor } from './messages.js';
import { createSupervisedCounters } from './supervised-counters.js';

type Start = Extract<FromSupervisor, { kind: 'start' }>;

/** Set for the processes a supervisor starts, as PM2's are workers of a cluster, too. */
export const WORKER_VARIABLE = 'TOKENLEDGER_WORKER';

/** Tells whether this process was started by a supervisor of ours. */
export const isSupervised = (): boolean => cluster.isWorker && process.env[WORKER_VARIABLE] !== undefined;

/** Hands a message to the supervisor. @returns false where it is gone */
function tell(message: FromWorker, onSent = () => {}): boolean {
  if (process.connected !== true || process.send === undefined) return false;
  process.send(message, undefined, undefined, onSent);
  return true;
}

/** Tells the supervisor that this process runs, and waits until it says where the database is. */
async function askForStart(): Promise<Start> {
  tell({ kind: 'running' });
  for (;;) {
    const [message]: unknown[] = await once(process, 'message');
    const start = readFromSupervisor(message);
    if (start?.kind === 'start') return start;
  }
}

async function openWorkerBackend(
  config: Config,
  { embedded }: Start,
  log: ReturnType<typeof createLogger>,
): Promise<Backend> {
  const most = config.database.kind === 'supabase' ? undefined : config.database.poolSize;
  const poolSize = most && toWorkerPoolSize(most, config.workers);
  if (embedded === undefined) return openBackend(config, log, poolSize);
  const { connectionString, jwtSecret } = embedded;
  return { ...(await openDirect(connectionString, log, poolSize)), jwtSecret, embedded: true };
}

async function serve(): Promise<() => Promise<void>> {
  loadEnvironmentFile();
  const config = parseConfig(process.env);
  await openErrorReports(config.sentryDsn);
  const start = await askForStart();
  const log = createLogger(config.http.logLevel).child({ worker: start.worker });
  const backend = await openWorkerBackend(config, start, log);
  try {
    await requireSchema(backend.database);
    const counters = createSupervisedCounters(tell);
    let front: Front | undefined;
    process.on('message', (received) => {
      const message = readFromSupervisor(received);
      if (message?.kind === 'counts') counters.receive(message);
      else if (message?.kind === 'wake') front?.wake(message.round);
    });
    const opened = await openFront(config, backend, log, { counters, worker: start.worker });
    front = opened;
    tell({ kind: 'listening', url: opened.url });
    return async () => {
      await opened.close();
      await backend.close();
    };
  } catch (error) {
    await backend.close().catch(() => {});
    throw error;
  }
}

/**
 * Answers requests as one of several processes, until it is told to stop; what only one may do, the supervisor does.
 * @returns stops it, once its requests are answered
 */
export async function startWorker(): Promise<() => Promise<void>> {
  try {
    return await serve();
  } catch (error) {
    // The supervisor says it, once for all workers.
    const isTold = await new Promise<boolean>((told) => {
      if (!tell({ kind: 'failed', message: formatFatalError(error) }, () => told(true))) told(false);
    });
    if (!isTold) throw error;
    if (!(error instanceof StartupError)) reportError(error, { kind: 'process' });
    await closeErrorReports();
    process.exit(1);
  }
}
