import cluster from 'node:cluster';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

const DRAIN_LIMIT_MS = 45_000;
const FAREWELL_LIMIT_MS = 2_000;
const IDLE_CHECK_MS = 50;

/**
 * Resolves when the process shall stop: at SIGTERM or SIGINT, or at the end of the npm that started it. The handlers
 * stay, as npm passes on a Ctrl-C the terminal delivered already: the second one changes nothing.
 */
export function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      setTimeout(() => process.exit(1), DRAIN_LIMIT_MS).unref();
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    if (process.env['npm_lifecycle_event'] !== undefined) onParentEnd(stop);
  });
}

/** npm hands signals to the shell it started us in, and some shells keep them: their end is our signal. */
function onParentEnd(stop: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, 250).unref();
}

/**
 * Lets clients end their connections: the next answer on each says `Connection: close`. Closing them ourselves would
 * cut off requests that are on their way.
 */
async function farewell(app: FastifyInstance): Promise<void> {
  const open = () => new Promise<number>((found) => app.server.getConnections((_error, count) => found(count)));
  for (const end = Date.now() + FAREWELL_LIMIT_MS; (await open()) > 0 && Date.now() < end; ) await delay(IDLE_CHECK_MS);
}

/** Under PM2 connections may still be on their way to this process: they go back, to be given to another one. */
async function leaveCluster(): Promise<void> {
  const { worker } = cluster;
  if (worker === undefined || !worker.isConnected()) return;
  await new Promise<void>((left) => {
    worker.once('disconnect', left);
    worker.disconnect();
  });
}

/** Closes the application; a connection that becomes idle meanwhile would otherwise be kept for its next request. */
async function close(app: FastifyInstance): Promise<void> {
  const timer = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
  await app.close();
  clearInterval(timer);
}

/**
 * Ends the application without losing a request: those under way are answered, and the process leaves its cluster.
 * The caller has said already that it is not ready for new ones.
 */
export async function shutDown(app: FastifyInstance): Promise<void> {
  await farewell(app);
  await close(app);
  await leaveCluster();
}
