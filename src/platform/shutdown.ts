import cluster from 'node:cluster';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

const SHUTDOWN_LIMIT_MS = 45_000;
const DRAIN_CONNECTIONS_MS = 2_000;
const POLL_INTERVAL_MS = 50;

/**
 * Resolves when the process is to stop: at SIGTERM or SIGINT, or at the end of the npm that started it. The handlers
 * stay, as npm passes on a Ctrl-C that the terminal has delivered already: the second one changes nothing.
 */
export function shutdownSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      setTimeout(() => process.exit(1), SHUTDOWN_LIMIT_MS).unref();
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    if (process.env['npm_lifecycle_event'] !== undefined) watchParent(stop);
  });
}

/** Takes the end of the shell npm started us in for a signal: npm hands signals to it, and some shells keep them. */
function watchParent(stop: () => void): void {
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
async function drainConnections(app: FastifyInstance): Promise<void> {
  const open = () => new Promise<number>((found) => app.server.getConnections((_error, count) => found(count)));
  const end = performance.now() + DRAIN_CONNECTIONS_MS;
  while ((await open()) > 0 && performance.now() < end) await delay(POLL_INTERVAL_MS);
}

/** Leaves PM2's cluster: connections on their way to this process go back, to be given to another one. */
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
  const timer = setInterval(() => app.server.closeIdleConnections(), POLL_INTERVAL_MS);
  await app.close();
  clearInterval(timer);
}

/**
 * Ends the application without losing a request: those under way are answered, and the process leaves its cluster.
 * The caller has said already that it is not ready for new ones.
 */
export async function shutDown(app: FastifyInstance): Promise<void> {
  await drainConnections(app);
  await close(app);
  await leaveCluster();
}
