import { randomInt } from 'node:crypto';
import { parseCommandLine, parseWholeNumber } from '../command-line.js';

export const USAGE =
  'Usage: npm run fuzz -- [--seed 1] [--runs 50] [--operation recordUsage,…] ' +
  '(sends made-up requests to a server of its own, and checks each answer against the OpenAPI document)';

/** What to make up. */
export interface FuzzOptions {
  readonly seed: number;
  /** Requests of each operation. */
  readonly runs: number;
  /** Ids of the operations to try; all without any. */
  readonly operations: readonly string[] | undefined;
}

/**
 * Parses the command line.
 * @throws {UsageError} naming the first argument that is wrong
 */
export function parseOptions(args: readonly string[]): FuzzOptions {
  const text = { type: 'string' } as const;
  const { values } = parseCommandLine(args, { seed: text, runs: { ...text, default: '50' }, operation: text });
  return {
    seed: values.seed === undefined ? randomInt(1, 1_000_000_000) : parseWholeNumber('seed', values.seed, 2 ** 31 - 1),
    runs: parseWholeNumber('runs', values.runs, 1_000_000),
    operations: values.operation?.split(',').map((name) => name.trim()),
  };
}
