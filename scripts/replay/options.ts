import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

export const USAGE =
  'Usage: npm run replay -- --file trace.csv [--url http://127.0.0.1:3000] [--devices 40] [--concurrency 64]' +
  ' [--model gpt-5] [--limit rows] [--run id-to-resume]';

/** Arguments that make no sense: answered with {@link USAGE} and exit code 2. */
export class UsageError extends Error {}

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

const DEFAULTS = { url: 'http://127.0.0.1:3000', devices: '40', concurrency: '64', model: 'gpt-5' };

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        url: { ...text, default: DEFAULTS.url },
        file: text,
        devices: { ...text, default: DEFAULTS.devices },
        concurrency: { ...text, default: DEFAULTS.concurrency },
        model: { ...text, default: DEFAULTS.model },
        limit: text,
        run: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw new UsageError(`--${name} must be a whole number from 1 to ${most}`);
  return value;
}

function apiAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new UsageError('--url must be an address like http://127.0.0.1:3000');
  }
  // A server is known by its own address as well as by that of its API.
  const path = url.pathname.replace(/\/+$/, '');
  return new URL(path.endsWith('/api') ? path : `${path}/api`, url);
}

function matching(name: string, text: string, pattern: RegExp, rule: string): string {
  if (!pattern.test(text)) throw new UsageError(`--${name} must be ${rule}`);
  return text;
}

/**
 * Reads the command line; undefined where help is asked for.
 * @throws {UsageError} naming the first argument that is wrong
 */
export function readOptions(args: readonly string[]): ReplayOptions | undefined {
  const values = parse(args);
  if (values.help === true) return undefined;
  if (values.file === undefined || values.file === '') throw new UsageError('--file is missing');
  return {
    api: apiAddress(values.url),
    file: values.file,
    devices: wholeNumber('devices', values.devices, 100_000),
    concurrency: wholeNumber('concurrency', values.concurrency, 10_000),
    model: matching('model', values.model, /^(?=.*\S).{1,200}$/, 'a name of up to 200 characters'),
    limit: values.limit === undefined ? Number.MAX_SAFE_INTEGER : wholeNumber('limit', values.limit, 1_000_000_000),
    run: matching(
      'run',
      values.run ?? randomUUID(),
      /^[\w.-]{1,100}$/,
      'letters, digits, dots, dashes and underscores, 100 at most',
    ),
  };
}
