import { randomInt } from 'node:crypto';
import { parseCommandLine, parseWholeNumber, UsageError } from '../command-line.js';
import { FAULTS, type Fault } from './faults.js';

const NAMES = FAULTS.map(({ name }) => name);

export const USAGE =
  'Usage: npm run chaos -- [--seed 1] [--minutes 2] [--faults ' +
  `${NAMES.join(',')}] (breaks two servers and their Postgres on purpose, all its own, and proves that nothing was lost)`;

/** What to break, for how long, and by which choices. */
export interface ChaosOptions {
  readonly seed: number;
  /** How long faults follow each other, in milliseconds. */
  readonly milliseconds: number;
  readonly faults: readonly Fault[];
}

function findFault(name: string): Fault {
  const found = FAULTS.find((fault) => fault.name === name);
  if (found === undefined) throw new UsageError(`There is no fault "${name}": choose of ${NAMES.join(', ')}`);
  return found;
}

function parseMinutes(text: string): number {
  const minutes = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (minutes < 0.01 || minutes > 1_440) throw new UsageError('--minutes must be a number from 0.01 to 1440');
  return minutes;
}

/**
 * Parses the command line.
 * @throws {UsageError} naming the first argument that is wrong
 */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const text = { type: 'string' } as const;
  const { values } = parseCommandLine(args, {
    seed: text,
    minutes: { ...text, default: '2' },
    faults: { ...text, default: NAMES.join(',') },
  });
  return {
    seed: values.seed === undefined ? randomInt(1, 1_000_000_000) : parseWholeNumber('seed', values.seed, 2 ** 31),
    milliseconds: parseMinutes(values.minutes) * 60_000,
    faults: values.faults.split(',').map((name) => findFault(name.trim())),
  };
}
