import { type ParseArgsConfig, parseArgs } from 'node:util';
import { formatFatalError } from '../src/config/startup-error.js';
import { describeFailure } from '../src/platform/database/describe-failure.js';

/** Arguments that make no sense: reported with the usage line and exit code 2. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * Parses the arguments of a command, every option known and every value where it belongs.
 *
 * @param options as `util.parseArgs` takes them
 * @param positionals how many arguments without a name are allowed at most
 * @throws {UsageError} naming what is unknown, missing or too much
 */
export function parseCommandLine<const O extends Options>(args: readonly string[], options: O, positionals = 0) {
  try {
    const parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: positionals > 0 });
    const surplus = parsed.positionals[positionals];
    if (surplus !== undefined) throw new Error(`Unexpected argument '${surplus}'`);
    return parsed;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Parses a decimal number given to an option.
 * @throws {UsageError} naming the option and its bounds
 */
export function parseWholeNumber(option: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw new UsageError(`--${option} must be a whole number from 1 to ${most}`);
  return value;
}

/**
 * Runs a command's body with the process's arguments. `--help` prints the usage line instead and runs nothing; misuse
 * ends in exit code 2, any other failure in 1.
 */
export async function runCommandLine(usage: string, body: (args: readonly string[]) => Promise<void>): Promise<void> {
  const args = process.argv.slice(2);
  try {
    if (args.some((arg) => arg === '--help' || arg === '-h')) process.stdout.write(`${usage}\n`);
    else await body(args);
  } catch (error) {
    const misused = error instanceof UsageError;
    const reason = misused ? `${error.message}\n${usage}` : (describeFailure(error) ?? formatFatalError(error));
    process.stderr.write(`${reason}\n`);
    process.exitCode = misused ? 2 : 1;
  }
}
