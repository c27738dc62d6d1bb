import { parseCommandLine, parseWholeNumber, UsageError } from '../command-line.js';
import { CASES } from './cases/all.js';
import type { Case } from './cases/case.js';

const NAMES = CASES.map(({ name }) => name);

export const USAGE =
  `Usage: npm run bench -- [--cases ${NAMES.join(',')}] [--rounds 5] [--seconds 2] [--connections 1,64,256]` +
  ' [--json bench.json] [--check] [--long]';

/** What to measure, how often and for how long. */
export interface BenchOptions {
  readonly cases: readonly Case[];
  readonly rounds: number;
  /** How long each contestant is loaded in each round. */
  readonly seconds: number;
  readonly connections: readonly number[] | undefined;
  /** Where the result is kept, and the last one is looked for. */
  readonly json: string;
  /** Whether to compare with the result that is kept, which stays, and to fail where a ratio is worse. */
  readonly check: boolean;
  readonly long: boolean;
}

function findCase(name: string): Case {
  const found = CASES.find((known) => known.name === name);
  if (found === undefined) throw new UsageError(`There is no case "${name}": choose of ${NAMES.join(', ')}`);
  return found;
}

function parseSeconds(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.05 || seconds > 3_600) throw new UsageError('--seconds must be a number from 0.05 to 3600');
  return seconds;
}

/**
 * Parses the command line.
 * @throws {UsageError} naming the first argument that is wrong
 */
export function parseOptions(args: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseCommandLine(args, {
    cases: { ...text, default: NAMES.join(',') },
    rounds: { ...text, default: '5' },
    seconds: { ...text, default: '2' },
    connections: text,
    json: { ...text, default: 'bench.json' },
    check: flag,
    long: flag,
  });
  if (values.json === '') throw new UsageError('--json needs the name of a file');
  return {
    cases: values.cases.split(',').map((name) => findCase(name.trim())),
    rounds: parseWholeNumber('rounds', values.rounds, 1_000),
    seconds: parseSeconds(values.seconds),
    connections: values.connections?.split(',').map((number) => parseWholeNumber('connections', number.trim(), 10_000)),
    json: values.json,
    check: values.check,
    long: values.long,
  };
}
