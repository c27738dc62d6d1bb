import cluster from 'node:cluster';
import type { Logger } from 'pino';
import { listSignUpNotices } from './auth/sign-up/start-notices.js';
import { startBackgroundJobs } from './background-jobs.js';
import { listVariableNotices } from './config/aliases.js';
import { type Config, parseConfig } from './config/config.js';
import { loadEnvironmentFile } from './config/environment-file.js';
import { listPlatformNotices } from './config/host.js';
import { SUPERVISOR_CONNECTIONS } from './config/pool-size.js';
import { formatFatalError, StartupError } from './config/startup-error.js';
import { ensureFirstAdmin } from './features/admin/first-admin.js';
import { type Front, openFront } from './front.js';
import { adminNotice, proxyNotice, welcome } from './platform/banner.js';
import { type Backend, openBackend } from './platform/database/backend.js';
import { describeFailure } from './platform/database/describe-failure.js';
import { closeErrorReports, openErrorReports, reportError } from './platform/error-reports.js';
import { requireSchema } from './platform/health/readiness.js';
import { waitForDatabase } from './platform/health/wait-for-database.js';
import { createLogger } from './platform/logging.js';
import { shutdownSignal } from './platform/shutdown.js';
import { superviseWorkers } from './workers/supervisor.js';
import { isSupervised, startWorker } from './workers/worker.js';

/** Has this process answer requests, or several that it supervises; those it replaces one by one on SIGHUP. */
async function openFronts(config: Config, backend: Backend, log: Logger): Promise<Front> {
  if (config.workers === 1) return openFront(config, backend, log);
  if (cluster.isWorker) {
    log.warn('WORKERS is ignored, as this process is one of a cluster already');
    return openFront(config, backend, log);
  }
  const workers = await superviseWorkers(config, backend, log);
  process.on('SIGHUP', () => void workers.reload());
  return workers;
}

/**
 * Serves until it is told to stop.
 * @returns stops serving: no new work, running requests finish, then the database is let go
 */
async function serve(
  config: Config,
  backend: Backend,
  log: Logger,
  stopping: Promise<void>,
): Promise<() => Promise<void>> {
  // Our own has been started by now.
  if (!backend.embedded && !(await waitForDatabase(backend.database, log, stopping))) return () => backend.close();
  await requireSchema(backend.database);
  const password = await ensureFirstAdmin(config, backend);
  if (password !== undefined) process.stdout.write(adminNotice(config.admin.username, password));

  const notices = [
    ...listSignUpNotices(config, backend.embedded),
    ...listPlatformNotices(config.http, process.env, backend.embedded),
  ];
  for (const notice of notices) log.warn(notice);
  const front = await openFronts(config, backend, log);
  const stopJobs = await startBackgroundJobs(backend.database, config, log, front.wake);
  const notice = proxyNotice(config.http);
  const url = config.http.isPublicUrlSet ? config.http.publicUrl : front.url;
  process.stdout.write(welcome(url, notice ? [notice] : []));
  // PM2 waits for this before it stops the process this one replaces.
  process.send?.('ready');

  return async () => {
    const closed = front.close();
    stopJobs();
    await closed;
    await backend.close();
  };
}

async function start(stopping: Promise<void>): Promise<() => Promise<void>> {
  const unload = loadEnvironmentFile();
  const config = parseConfig(process.env);
  const log = createLogger(config.http.logLevel);
  await openErrorReports(config.sentryDsn);
  for (const notice of listVariableNotices(process.env)) log.warn(notice);
  // Workers read the file themselves, those that replace others as it is by then.
  if (config.workers > 1) unload();
  const isSupervisor = config.workers > 1 && !cluster.isWorker;
  const backend = await openBackend(config, log, isSupervisor ? SUPERVISOR_CONNECTIONS : undefined);
  try {
    return await serve(config, backend, log, stopping);
  } catch (error) {
    await backend.close().catch(() => {});
    throw error;
  }
}

async function main(): Promise<void> {
  // Whoever reads our output may go away (`npm start | head`): that is no reason to die.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  // Heard from the beginning: a start that is interrupted finishes and then stops, and leaves no Postgres behind.
  const stopping = shutdownSignal();
  const stop = await (isSupervised() ? startWorker() : start(stopping));
  await stopping;
  await stop();
  await closeErrorReports();
}

main().then(
  () => process.exit(0),
  async (error: unknown) => {
    process.stderr.write(`${describeFailure(error) ?? formatFatalError(error)}
`);
    if (!(error instanceof StartupError)) reportError(error, { kind: 'process' });
    await closeErrorReports();
    process.exit(1);
  },
);
