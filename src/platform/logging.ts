import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { toCalledPath } from './http/api-prefix.js';

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
  'device_secret',
  '"x-device-token"',
  'access_token',
  'refresh_token',
  'sessionToken',
  'enrollment_key',
  'hardware_fingerprint',
  'secret',
];
const DEPTHS = ['', '*', '*.*', '*.*.*'];

function toPath(depth: string, name: string): string {
  if (name.startsWith('"')) return `${depth}[${name}]`;
  return depth === '' ? name : `${depth}.${name}`;
}

/** Builds pino's options: credentials are replaced wherever they may turn up in a logged object. */
function toLoggerOptions(level: string): LoggerOptions {
  return {
    level,
    redact: {
      // The details of a database error quote the row it refused.
      paths: ['err.details', ...DEPTHS.flatMap((depth) => CREDENTIALS.map((name) => toPath(depth, name)))],
      censor: '[redacted]',
    },
  };
}

/** Formats log lines for people; they went through redaction before. */
function openTerminal(): DestinationStream {
  // Loaded here, as few servers have a terminal.
  const pretty: typeof import('pino-pretty') = createRequire(import.meta.url)('pino-pretty');
  return pretty({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true, sync: true });
}

/**
 * Creates the process's logger. Unless told where, it writes to standard output: one JSON line an event, or lines for
 * people when that is a terminal.
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = toLoggerOptions(level);
  const output = destination ?? (process.stdout.isTTY ? openTerminal() : undefined);
  return output === undefined ? pino(options) : pino(options, output);
}

const ACCEPTABLE_ID = /^[\w.:-]{1,128}$/;

/** Returns the caller's `x-request-id` where it is harmless, or a new one. */
export function toRequestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && ACCEPTABLE_ID.test(given) ? given : randomUUID();
}

const logging: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  // One line an answer. The route's pattern, not the URL: query strings may carry what must not be logged.
  app.addHook('onResponse', async (request, reply) => {
    const { url } = request.routeOptions;
    request.log.info(
      {
        method: request.method,
        route: url === undefined ? null : toCalledPath(url, request.originalUrl),
        status: reply.statusCode,
        ms: reply.elapsedTime,
      },
      'answered',
    );
  });
};

/** Puts a request id on every answer, and logs one line each. */
export default fp(logging, { name: 'logging' });
