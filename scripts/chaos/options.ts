import { randomInt } from 'node:crypto';
import { parseCommandLine, parseWholeNumber, UsageError } from '../command-line.js';
import { FAULTS, FAULTS_OF_MANY, type Fault } from './faults/all.js';
import type { OverloadOptions } from './overload/run.js';

const NAMES = FAULTS.map(({ name }) => name);
const SCENARIOS = ['faults', 'servers', 'overload'];

export const USAGE =
  'Usage: npm run chaos -- [--seed 1] [--minutes 2] [--faults ' +
  `${NAMES.join(',')}] [--scenario servers] | --scenario overload [--rate 500] [--seconds 30] ` +
  '(breaks or overloads servers and a Postgres of its own on purpose, and proves that nothing was lost)';

/** What to break, for how long, and by which choices. */
export interface ChaosOptions {
  /** Two servers, or three behind nginx and over PgBouncer. */
  readonly scenario: 'faults' | 'servers';
  readonly seed: number;
  /** How long faults follow each other, in milliseconds. */
  readonly milliseconds: number;
  readonly faults: readonly Fault[];
}

/** How to overload a server. */
export interface OverloadScenario extends OverloadOptions {
  readonly scenario: 'overload';
}

function findFault(faults: readonly Fault[], name: string): Fault {
  const found = faults.find((fault) => fault.name === name);
  const names = faults.map((fault) => fault.name).join(', ');
  if (found === undefined) throw new UsageError(`There is no fault "${name}": choose of ${names}`);
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
export function parseOptions(args: readonly string[]): ChaosOptions | OverloadScenario {
  const text = { type: 'string' } as const;
  const { values } = parseCommandLine(args, {
    scenario: { ...text, default: 'faults' },
    ...{ seed: text, minutes: text, faults: text, rate: text, seconds: text },
  });
  const { scenario, seed, minutes, faults, rate, seconds } = values;
  if (scenario === 'overload') {
    if ((seed ?? minutes ?? faults) !== undefined) throw new UsageError('overload takes --rate and --seconds only');
    return {
      scenario,
      rate: parseWholeNumber('rate', rate ?? '500', 10_000),
      seconds: parseWholeNumber('seconds', seconds ?? '30', 3_600),
    };
  }
  if (scenario !== 'faults' && scenario !== 'servers') {
    throw new UsageError(`There is no scenario "${scenario}": choose of ${SCENARIOS.join(', ')}`);
  }
  if ((rate ?? seconds) !== undefined) throw new UsageError('--rate and --seconds belong to --scenario overload');
  const all = scenario === 'servers' ? FAULTS_OF_MANY : FAULTS;
  return {
    scenario,
    seed: seed === undefined ? randomInt(1, 1_000_000_000) : parseWholeNumber('seed', seed, 2 ** 31),
    milliseconds: parseMinutes(minutes ?? '2') * 60_000,
    faults: faults?.split(',').map((name) => findFault(all, name.trim())) ?? all,
  };
}
