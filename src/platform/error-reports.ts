import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ErrorEvent, StackFrame } from '@sentry/node';
import type { FastifyRequest } from 'fastify';
import { formatFatalError, StartupError, toSystemCode } from '../config/startup-error.js';
import type { ApiError } from './errors.js';
import { PROJECT_ROOT } from './project-root.js';

/** Where an error came up, in names of our own: never what somebody sent. */
type Origin = Readonly<Record<string, string>>;

interface Reports {
  readonly report: (error: unknown, origin: Origin) => void;
  /** Sends what waits, for two seconds at most. */
  readonly close: () => Promise<unknown>;
}

const CLOSE_LIMIT_MS = 2_000;
const PACKAGE = '@sentry/node@10';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** One a process, as the errors that nobody catches are the process's. */
let reports: Reports | undefined;

/** Returns where the stack passed; nothing where it cannot be told from the error's text, which comes before. */
function toFrames({ stack, message }: Error): string {
  const at = stack?.indexOf(message) ?? -1;
  return stack === undefined || at === -1 ? '' : stack.slice(at + message.length);
}

/**
 * Copies an error without its text, which may quote what somebody sent: its kind, its code and where it came up stay. The
 * text is in the log, beside the request's id.
 */
function withoutText(error: unknown): Error {
  const given = error instanceof Error ? error : new Error('');
  const code = toSystemCode(given) ?? '';
  const stripped = new Error(/^[A-Z0-9_]{2,40}$/.test(code) ? code : 'see the log');
  stripped.name = /^\w{1,40}$/.test(given.name) ? given.name : 'Error';
  stripped.stack = `${stripped.name}: ${stripped.message}${toFrames(given)}`;
  return stripped;
}

/** Names a file of ours from the project's folder on; undefined for what is neither ours nor Node's. */
function toShownFile(filename = ''): string | undefined {
  if (filename.startsWith('node:')) return filename;
  const path = relative(PROJECT_ROOT, filename.startsWith('file:') ? fileURLToPath(filename) : filename);
  return path === '' || path.startsWith('..') || path.includes(':') ? undefined : `app:///${path}`;
}

function toSentFrames(frames: readonly StackFrame[] = []): StackFrame[] {
  return frames.flatMap(({ filename, function: name, lineno, colno, in_app }) => {
    const file = toShownFile(filename);
    const place = { function: name ?? '?', lineno: lineno ?? 0, colno: colno ?? 0, in_app: in_app ?? false };
    return file === undefined ? [] : [{ ...place, filename: file }];
  });
}

/** Builds anew what is sent, of what is known to be harmless: whatever the package adds to an event is left out. */
function toSentEvent({ event_id = '', timestamp = 0, tags = {}, exception }: ErrorEvent): ErrorEvent {
  const values = (exception?.values ?? []).map(({ type = 'Error', value = '', stacktrace }) => ({
    type,
    value,
    stacktrace: { frames: toSentFrames(stacktrace?.frames) },
  }));
  return { type: undefined, event_id, timestamp, platform: 'node', level: 'error', tags, exception: { values } };
}

/** Loads Sentry's package, which is not installed by default. @throws {StartupError} saying what to install */
async function loadSentry() {
  try {
    return await import('@sentry/node');
  } catch (error) {
    if (toSystemCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new StartupError(
      `SENTRY_DSN needs a package that is not installed: run "npm install --no-save --save-prod --omit=dev ${PACKAGE}", or unset it`,
      { cause: error },
    );
  }
}

/** Reports what nobody caught, and ends the process, as Node does. */
function endOnUncaught(): void {
  process.on('uncaughtException', (error: unknown) => {
    process.stderr.write(`${formatFatalError(error)}\n`);
    reportError(error, { kind: 'process' });
    void closeErrorReports().finally(() => process.exit(1));
  });
}

/**
 * Has this process report unforeseen errors to Sentry; without a DSN nothing is loaded, and nothing is reported.
 * Neither traces nor breadcrumbs nor anything of a request but its method, its route's pattern and its id are sent.
 * @throws {StartupError} where Sentry's package is not installed
 */
export async function openErrorReports(dsn: string | undefined): Promise<void> {
  if (dsn === undefined) return;
  const { NodeClient, Scope, defaultStackParser, makeNodeTransport } = await loadSentry();
  const client = new NodeClient({
    dsn,
    transport: makeNodeTransport,
    stackParser: defaultStackParser,
    integrations: [],
    includeServerName: false,
    sendClientReports: false,
    beforeSend: toSentEvent,
  });
  client.init();
  reports = {
    report: (error, origin) => {
      const scope = new Scope();
      scope.setTags(origin);
      client.captureException(withoutText(error), undefined, scope);
    },
    close: async () => client.close(CLOSE_LIMIT_MS),
  };
  endOnUncaught();
}

/** Reports an error nobody foresaw, where that is set up. @param origin says where it came up */
export function reportError(error: unknown, origin: Origin): void {
  reports?.report(error, origin);
}

/** Reports what made an answer a 500, where that is set up; what passes by itself, or upstream did, is none. */
export function reportFailedRequest(apiError: ApiError, request: FastifyRequest): void {
  if (reports === undefined || apiError.statusCode !== 500) return;
  const { id, method, routeOptions } = request;
  // Clients may choose the id: only what is surely one is passed on.
  const requestId = UUID.test(id) && { request_id: id };
  reportError(apiError.cause ?? apiError, { kind: 'request', method, route: routeOptions.url ?? 'none', ...requestId });
}

/** Sends what is yet to be sent, for two seconds at most, and reports nothing more. */
export async function closeErrorReports(): Promise<void> {
  const open = reports;
  reports = undefined;
  await open?.close();
}
