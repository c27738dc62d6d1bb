import { randomUUID } from 'node:crypto';
import { parseCommandLine, parseWholeNumber, UsageError } from '../command-line.js';

export const USAGE =
  'Usage: npm run replay -- --file trace.csv [--url http://127.0.0.1:3000] [--devices 40] [--concurrency 64]' +
  ' [--model gpt-5] [--limit rows] [--run id-to-resume]';

/** What to replay, where and how. */
export interface ReplayOptions {
  /** The server's address, up to and including `/api`. */
  readonly api: URL;
  readonly file: string;
  readonly devices: number;
  readonly concurrency: number;
  readonly model: string;
  /** Most rows to replay. */
  readonly limit: number;
  /** Names the devices and the idempotency keys: the same run sent again is charged once. */
  readonly run: string;
}

function parseApiUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new UsageError('--url must be an address like http://127.0.0.1:3000');
  }
  // A server is known by its own address as well as by that of its API.
  const path = url.pathname.replace(/\/+$/, '');
  return new URL(path.endsWith('/api') ? path : `${path}/api`, url);
}

function requireMatch(name: string, text: string, pattern: RegExp, rule: string): string {
  if (!pattern.test(text)) throw new UsageError(`--${name} must be ${rule}`);
  return text;
}

/**
 * Parses the command line.
 * @throws {UsageError} naming the first argument that is wrong
 */
export function parseOptions(args: readonly string[]): ReplayOptions {
  const text = { type: 'string' } as const;
  const { values } = parseCommandLine(args, {
    url: { ...text, default: 'http://127.0.0.1:3000' },
    file: text,
    devices: { ...text, default: '40' },
    concurrency: { ...text, default: '64' },
    model: { ...text, default: 'gpt-5' },
    limit: text,
    run: text,
  });
  if (values.file === undefined || values.file === '') throw new UsageError('--file is missing');
  return {
    api: parseApiUrl(values.url),
    file: values.file,
    devices: parseWholeNumber('devices', values.devices, 100_000),
    concurrency: parseWholeNumber('concurrency', values.concurrency, 10_000),
    model: requireMatch('model', values.model, /^(?=.*\S).{1,200}$/, 'a name of up to 200 characters'),
    limit:
      values.limit === undefined ? Number.MAX_SAFE_INTEGER : parseWholeNumber('limit', values.limit, 1_000_000_000),
    run: requireMatch(
      'run',
      values.run ?? randomUUID(),
      /^[\w.-]{1,100}$/,
      'letters, digits, dots, dashes and underscores, 100 at most',
    ),
  };
}
