import type { FastifyInstance } from 'fastify';
import { buildApp } from './app.js';
import { listSignUpNotices } from './auth/sign-up/start-notices.js';
import { startBackgroundJobs } from './background-jobs.js';
import { listVariableNotices } from './config/aliases.js';
import { type Config, parseConfig } from './config/config.js';
import { loadEnvironmentFile } from './config/environment-file.js';
import { listPlatformNotices } from './config/host.js';
import { formatFatalError, StartupError, toSystemCode } from './config/startup-error.js';
import { ensureFirstAdmin } from './features/admin/first-admin.js';
import { adminNotice, proxyNotice, welcome } from './platform/banner.js';
import { type Backend, openBackend } from './platform/database/backend.js';
import { createReadiness, schemaProblem } from './platform/health/readiness.js';
import { createLogger } from './platform/logging.js';
import { findOutbox } from './platform/mail/outbox.js';
import { shutDown, shutdownSignal } from './platform/shutdown.js';

async function listen(app: FastifyInstance, config: Config): Promise<string> {
  try {
    return await app.listen({ host: config.http.host, port: config.http.port });
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    const reason = code === 'EADDRINUSE' ? 'is already in use' : `cannot be listened on (${code})`;
    throw new StartupError(`PORT ${config.http.port} on ${config.http.host} ${reason}; set another PORT or HOST`, {
      cause: error,
    });
  }
}

/**
 * Serves until it is told to stop.
 * @returns stops serving: no new work, running requests finish, then the database is let go
 */
async function serve(
  config: Config,
  backend: Backend,
  log: ReturnType<typeof createLogger>,
): Promise<() => Promise<void>> {
  const problem = await schemaProblem(backend.database).catch((error: unknown) => {
    if (error instanceof StartupError) throw error;
    throw new StartupError('The database cannot be reached; check DATABASE_URL or SUPABASE_URL and its keys', {
      cause: error,
    });
  });
  if (problem !== undefined) throw new StartupError(problem);

  const password = await ensureFirstAdmin(config, backend);
  if (password !== undefined) process.stdout.write(adminNotice(config.admin.username, password));

  const readiness = createReadiness(backend.database);
  const notices = [
    ...listSignUpNotices(config, backend.embedded),
    ...listPlatformNotices(config.http, process.env, backend.embedded),
  ];
  for (const notice of notices) log.warn(notice);
  const app = await buildApp(config, backend, log, readiness);
  const url = await listen(app, config);
  const stopJobs = await startBackgroundJobs(backend.database, config, log, findOutbox(app)?.wake);
  const notice = proxyNotice(config.http);
  process.stdout.write(welcome(config.http.isPublicUrlSet ? config.http.publicUrl : url, notice ? [notice] : []));
  // PM2 waits for this before it stops the process this one replaces.
  process.send?.('ready');

  return async () => {
    readiness.drain();
    stopJobs();
    await shutDown(app);
    await backend.close();
  };
}

async function start(): Promise<() => Promise<void>> {
  loadEnvironmentFile();
  const config = parseConfig(process.env);
  const log = createLogger(config.http.logLevel);
  for (const notice of listVariableNotices(process.env)) log.warn(notice);
  const backend = await openBackend(config, log);
  try {
    return await serve(config, backend, log);
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
  const stop = await start();
  await stopping;
  await stop();
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${formatFatalError(error)}
`);
    process.exit(1);
  },
);
