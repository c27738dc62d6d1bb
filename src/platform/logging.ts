import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

/** Names whose values are credentials, in headers and in bodies alike. */
const CREDENTIALS = [
  'authorization',
  'cookie',
  '"set-cookie"',
  '"x-api-key"',
  '"idempotency-key"',
  'password',
  'token',
  'device_token',
  'access_token',
  'refresh_token',
  'sessionToken',
  'enrollment_key',
  'hardware_fingerprint',
  'secret',
];
const DEPTHS = ['', '*', '*.*', '*.*.*'];

function pathOf(depth: string, name: string): string {
  if (name.startsWith('"')) return `${depth}[${name}]`;
  return depth === '' ? name : `${depth}.${name}`;
}

/** Pino's options: credentials are replaced wherever they may turn up in a logged object. */
function loggerOptions(level: string): LoggerOptions {
  return {
    level,
    redact: {
      // The details of a database error quote the row it refused.
      paths: ['err.details', ...DEPTHS.flatMap((depth) => CREDENTIALS.map((name) => pathOf(depth, name)))],
      censor: '[redacted]',
    },
  };
}

/** The process's logger: one JSON line an event, on standard output unless told where. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = loggerOptions(level);
  return destination === undefined ? pino(options) : pino(options, destination);
}

const ACCEPTABLE_ID = /^[\w.:-]{1,128}$/;

/** The caller's `x-request-id` where it is harmless, or a new one. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && ACCEPTABLE_ID.test(given) ? given : randomUUID();
}

const logging: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  // One line an answer. The route's pattern, not the URL: query strings may carry what must not be logged.
  app.addHook('onResponse', async (request, reply) => {
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        ms: reply.elapsedTime,
      },
      'answered',
    );
  });
};

/** Request ids on every answer, and one log line each. */
export default fp(logging, { name: 'logging' });
