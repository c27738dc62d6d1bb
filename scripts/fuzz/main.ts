import { StartupError } from '../../src/config/startup-error.js';
import { runCommandLine } from '../command-line.js';
import { type FuzzOptions, parseOptions, USAGE } from './options.js';
import { runFuzz } from './run.js';
import { withFuzzStage } from './stage.js';

async function fuzz(options: FuzzOptions): Promise<void> {
  process.stdout.write(`Seed ${options.seed}, ${options.runs} requests of each operation\n`);
  const { failures, coverage } = await withFuzzStage((stage) =>
    runFuzz(stage, options, (line) => void process.stderr.write(`${line}\n`)),
  );
  for (const line of coverage) process.stdout.write(`${line}\n`);
  for (const failure of failures) process.stdout.write(`VIOLATION ${failure}\n`);
  if (failures.length > 0) {
    throw new StartupError(
      `${failures.length} violations. Again: npm run fuzz -- --seed ${options.seed} --runs ${options.runs}` +
        (options.operations === undefined ? '' : ` --operation ${options.operations.join(',')}`),
    );
  }
  process.stdout.write(
    '0 violations: every answer was declared and fits, nobody saw what is not theirs, the books add up.\n',
  );
}

// npm run fuzz: makes up requests from the OpenAPI document, and checks what they are answered.
await runCommandLine(USAGE, (args) => fuzz(parseOptions(args)));
