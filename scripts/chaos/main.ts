import { spawnSync } from 'node:child_process';
import { StartupError } from '../../src/config/startup-error.js';
import { runCommandLine } from '../command-line.js';
import { type ChaosOptions, type OverloadScenario, parseOptions, USAGE } from './options.js';
import { runOverload } from './overload/run.js';
import { createRandom } from './random.js';
import { type Outcome, runChaos } from './run.js';
import { openStage } from './stage.js';

const print = (line: string) => void process.stdout.write(`${line}\n`);

function report({ recoveries }: Outcome): void {
  print('\nUntil all servers answered again, once it was mended:');
  for (const [fault, times] of recoveries) {
    const sorted = [...times].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    print(
      `  ${fault.padEnd(22)} ${String(times.length).padStart(3)} ×  median ${median} ms, longest ${sorted.at(-1)} ms`,
    );
  }
}

/** Creates what tells how far it is, with the seconds since the beginning. */
function createTeller(): (line: string) => void {
  const start = performance.now();
  return (line) => {
    process.stderr.write(`${((performance.now() - start) / 1_000).toFixed(1).padStart(7)} s  ${line}\n`);
  };
}

async function overload(options: OverloadScenario): Promise<void> {
  const { lines, violations } = await runOverload(options, createTeller());
  for (const line of lines) print(line);
  for (const violation of violations) print(`VIOLATION ${violation}`);
  if (violations.length > 0) throw new StartupError(`${violations.length} violations`);
  print('0 violations: what was too much was refused at once, nobody was starved, the books add up.');
}

/** Makes sure that what three servers are put between is installed. @throws {StartupError} */
function requirePrograms(): void {
  for (const [program, flag] of [['nginx', '-v'] as const, ['pgbouncer', '--version'] as const]) {
    const { error } = spawnSync(program, [flag], { stdio: 'ignore' });
    if (error !== undefined) throw new StartupError(`${program} is not installed (apt install ${program})`);
  }
}

async function chaos(options: ChaosOptions): Promise<void> {
  const tell = createTeller();
  print(`Seed ${options.seed}, ${options.faults.length} kinds of faults`);
  const needsDisk = options.faults.some(({ name }) => name === 'fill-disk');
  const isMany = options.scenario === 'servers';
  if (isMany) requirePrograms();
  const stage = await openStage(createRandom(String(options.seed)), needsDisk, isMany);
  let violations = 1;
  try {
    const outcome = await runChaos(stage, options, tell);
    violations = outcome.violations.length;
    report(outcome);
    const counts = [...stage.journal.counts].map(([what, count]) => `${count} ${what}`).join(', ');
    print(`\nRequests: ${counts}`);
    for (const violation of outcome.violations) print(`VIOLATION ${violation}`);
  } finally {
    await stage.close(violations > 0);
  }
  if (violations > 0) {
    const names = options.faults.map(({ name }) => name).join(',');
    throw new StartupError(
      `${violations} violations. Again: npm run chaos -- --scenario ${options.scenario} --seed ${options.seed} --minutes ${options.milliseconds / 60_000}` +
        ` --faults ${names}; the servers' logs: ${stage.directory}`,
    );
  }
  print(
    '0 violations: every acknowledged write is there once, nothing was overspent, no hold is stuck, the books add up.',
  );
}

// npm run chaos: breaks servers and their Postgres on purpose, and proves that nothing was lost.
await runCommandLine(USAGE, async (args) => {
  const options = parseOptions(args);
  await (options.scenario === 'overload' ? overload(options) : chaos(options));
});
