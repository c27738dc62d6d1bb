import { createServer } from 'node:http';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Config } from '../../config/config.js';
import { StartupError, toSystemCode } from '../../config/startup-error.js';
import allowedMethods from '../http/allowed-methods.js';
import errorHandler from '../http/error-handler.js';
import { metricsRoutes } from './plugin.js';

/**
 * Serves this process's metrics at a port of its own on this machine: of several processes that share the server's port,
 * each request would reach another one.
 *
 * @param port the first process's; each further one of PM2's takes the next, and so does each worker. None are served
 *   without one
 * @param worker which of the workers this is, from 1; 0 for what is none
 * @returns stops it
 * @throws {StartupError} where the port cannot be listened on
 */
export async function listenForMetrics(
  app: FastifyInstance,
  port: number | undefined,
  worker = 0,
): Promise<() => void> {
  if (port === undefined) return () => {};
  const own = port + Number(process.env['NODE_APP_INSTANCE'] ?? 0) + worker;
  const server = createServer(async (request, response) => {
    const answer = await app.inject({
      url: request.url === '/metrics' ? '/metrics' : '/not-here',
      headers: request.headers,
      remoteAddress: request.socket.remoteAddress ?? '',
    });
    response.writeHead(answer.statusCode, { 'content-type': String(answer.headers['content-type']) });
    response.end(answer.rawPayload);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new StartupError(`METRICS_PORT ${own} cannot be listened on (${toSystemCode(error)})`, { cause: error }));
    });
    // Not exclusive: whoever replaces this process listens before this one has stopped.
    server.listen({ port: own, host: '127.0.0.1' }, resolve);
  });
  server.unref();
  return () => {
    server.close();
    server.closeAllConnections();
  };
}

/**
 * Serves the metrics of a process that answers no requests, but does the background jobs: those of the database are its
 * workers' to tell, as it has one connection, for its jobs.
 *
 * @returns stops it
 * @throws {StartupError} where the port cannot be listened on
 */
export async function listenForJobMetrics(config: Config['metrics']): Promise<() => void> {
  const app = Fastify();
  await app.register(allowedMethods);
  await app.register(errorHandler);
  await app.register(metricsRoutes, { config });
  return listenForMetrics(app, config.port);
}
