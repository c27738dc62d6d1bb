import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import ipaddr from 'ipaddr.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../database/client/database.js';
import { ApiError } from '../errors.js';
import { createDatabaseGauges } from './database-gauges.js';
import { databaseRegistry, measureProcess, registry, requestSeconds } from './registry.js';

/** What proxies add: behind one on this machine, everybody would come from this machine. */
const PROXY_HEADER =
  /^(?:via|forwarded|cdn-loop)$|^x-(?:forwarded|real|client|original|envoy|amzn)-|-(?:client|connecting)-ip$/;
/** Names of this machine, with or without a port. */
const OWN_NAME = /^(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?$/i;
const BEARER = /^bearer +([\x21-\x7E]+)$/i;

const digest = (text: string) => createHash('sha256').update(text).digest();

const isLoopback = (address: string | undefined) =>
  address !== undefined && ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback';

/**
 * Tells whether nobody stands between this machine and the request. Proxies that add nothing pass on the name they were
 * asked by, or talk HTTP/1.0; pages elsewhere, whose names may lead here, send theirs.
 */
function isOwn({ headers, raw, socket, ip }: FastifyRequest): boolean {
  const isProxied = raw.httpVersion === '1.0' || Object.keys(headers).some((name) => PROXY_HEADER.test(name));
  return !isProxied && OWN_NAME.test(headers.host ?? '') && isLoopback(socket.remoteAddress) && isLoopback(ip);
}

/** Lets pass whoever may read the metrics. @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN or FORBIDDEN */
function requireReader(request: FastifyRequest, token: string | undefined): void {
  if (token === undefined) {
    if (isOwn(request)) return;
    throw new ApiError('FORBIDDEN', {
      sentence: 'Metrics are for this machine only, at 127.0.0.1 or localhost, unless METRICS_TOKEN is set',
    });
  }
  const { authorization } = request.headers;
  if (authorization === undefined) throw new ApiError('MISSING_TOKEN');
  const given = BEARER.exec(authorization)?.[1] ?? '';
  if (!timingSafeEqual(digest(given), digest(token))) throw new ApiError('INVALID_TOKEN');
}

/** Dependencies of metrics. */
interface MetricsOptions {
  /** Left out by a process that is not asked after the database. */
  readonly database?: Database;
  readonly config: Config['metrics'];
}

/** Serves this process's metrics at `/metrics`, in Prometheus' format. */
export const metricsRoutes: FastifyPluginAsync<MetricsOptions> = async (app, { database, config }) => {
  const refresh = database && createDatabaseGauges(database);
  app.get('/metrics', { schema: { hide: true } }, async (request, reply) => {
    requireReader(request, config.token);
    measureProcess();
    const own = await registry.metrics();
    reply.type(registry.contentType);
    if (refresh === undefined) return own;
    await refresh();
    return `${own}\n${await databaseRegistry.metrics()}`;
  });
};

const measuring: FastifyPluginAsync = async (app) => {
  app.addHook('onResponse', (request, reply, done) => {
    const { url } = request.routeOptions;
    // Anybody can make up paths and methods; those of routes are few.
    const [method, route] = url === undefined ? ['any', 'unmatched'] : [request.method, url];
    requestSeconds.observe({ method, route, status: reply.statusCode }, reply.elapsedTime / 1_000);
    done();
  });
};

/** Measures every request. */
export default fp(measuring, { name: 'metrics' });
