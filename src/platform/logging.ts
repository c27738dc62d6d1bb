import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type DestinationStream, type Logger, type LoggerOptions, pino, stdSerializers } from 'pino';
import { toCalledPath } from './http/api-prefix.js';
import { CENSORED, CREDENTIALS, redact } from './redaction.js';

/** What has a form of its own in the log, and is looked at in that. */
const SERIALIZED: ReadonlySet<string> = new Set(['err', 'req', 'res']);

/** Redacts a line, but for what is looked at once it is serialized. */
function redactLine(line: Record<string, unknown>): Record<string, unknown> {
  const names = Object.keys(line);
  if (!names.some((name) => SERIALIZED.has(name))) return redact(line);
  const serialized = Object.fromEntries(names.filter((name) => SERIALIZED.has(name)).map((name) => [name, line[name]]));
  const others = Object.fromEntries(names.filter((name) => !SERIALIZED.has(name)).map((name) => [name, line[name]]));
  return { ...redact(others), ...serialized };
}

/** Serializes an error without credentials, and without the details of a database's, which quote the row it refused. */
function serializeError(error: Error): object {
  const { details, ...serialized } = stdSerializers.err(error);
  return redact(details === undefined ? serialized : { ...serialized, details: CENSORED });
}

/** Builds pino's options: credentials are replaced wherever they may turn up in what is logged, and only once it is. */
function toLoggerOptions(level: string): LoggerOptions {
  // What every line of a child logger begins with does not pass the formatter; by name this costs nothing.
  const redact = { paths: [...CREDENTIALS].map((name) => `["${name}"]`), censor: CENSORED };
  return { level, serializers: { err: serializeError }, formatters: { log: redactLine }, redact };
}

/** Formats log lines for people; they went through redaction before. */
function openTerminal(): DestinationStream {
  // Loaded here, as few servers have a terminal.
  const pretty: typeof import('pino-pretty') = createRequire(import.meta.url)('pino-pretty');
  return pretty({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true, sync: true });
}

/** How long a line may wait for others that are written with it, in milliseconds. */
const LONGEST_WAIT_MS = 100;

/**
 * Opens standard output. Not one write to the system a line: those of a tenth of a second go together, also at the end.
 * Where there are none, nothing is written, as pino's own periodic flush would, which wakes an idle process.
 */
function openOutput(): DestinationStream {
  // What is written at once is no longer than what a pipe takes in one piece, as workers share theirs.
  const output = pino.destination({ sync: false, minLength: 2_048, maxWrite: 4_096 });
  let isDue = false;
  const flush = () => {
    isDue = false;
    try {
      output.flush();
    } catch {
      // It has been closed, as the process is about to end; then everything is written.
    }
  };
  return {
    write: (line) => {
      output.write(line);
      if (!isDue) setTimeout(flush, LONGEST_WAIT_MS).unref();
      isDue = true;
    },
  };
}

/**
 * Creates the process's logger. Unless told where, it writes to standard output: one JSON line an event, or lines for
 * people when that is a terminal.
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = toLoggerOptions(level);
  const output = destination ?? (process.stdout.isTTY ? openTerminal() : undefined);
  return pino(options, output ?? openOutput());
}

const ACCEPTABLE_ID = /^[\w.:-]{1,128}$/;

/** Returns the caller's `x-request-id` where it is harmless, or a new one. */
export function toRequestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && ACCEPTABLE_ID.test(given) ? given : randomUUID();
}

/** Routes that are asked again and again by what watches the server. */
const QUIET: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

declare module 'fastify' {
  interface FastifyBaseLogger {
    /** Pino's: has every further line of this logger say so. */
    setBindings?(bindings: Readonly<Record<string, string>>): void;
  }
}

/**
 * Has every further line of a request's log name who sent it. The logger, which is the request's own, is added to: one more
 * below it would cost as much as all else that is done for a request's line.
 *
 * @param subjects kinds and ids, as a credential told them
 */
export function nameInLog(
  request: FastifyRequest,
  subjects: readonly { readonly kind: string; readonly id: string }[],
): void {
  for (const { kind, id } of subjects) request.log.setBindings?.({ [kind]: id });
}

const logging: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  const isQuiet = (url: string | undefined, status: number) => url !== undefined && QUIET.has(url) && status < 400;
  // One line an answer. The route's pattern, not the URL: query strings may carry what must not be logged.
  app.addHook('onResponse', (request, reply, done) => {
    const { url } = request.routeOptions;
    if (isQuiet(url, reply.statusCode)) return done();
    request.log.info(
      {
        method: request.method,
        route: url === undefined ? null : toCalledPath(url, request.originalUrl),
        status: reply.statusCode,
        ms: reply.elapsedTime,
      },
      'answered',
    );
    done();
  });
};

/** Puts a request id on every answer, and logs one line each. */
export default fp(logging, { name: 'logging' });
