import { StartupError } from '../../src/config/startup-error.js';
import { runCommandLine } from '../command-line.js';
import { type ChaosOptions, parseOptions, USAGE } from './options.js';
import { createRandom } from './random.js';
import { type Outcome, runChaos } from './run.js';
import { openStage } from './stage.js';

const print = (line: string) => void process.stdout.write(`${line}\n`);

function report({ recoveries }: Outcome): void {
  print('\nUntil both servers answered again, once it was mended:');
  for (const [fault, times] of recoveries) {
    const sorted = [...times].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    print(
      `  ${fault.padEnd(22)} ${String(times.length).padStart(3)} ×  median ${median} ms, longest ${sorted.at(-1)} ms`,
    );
  }
}

async function chaos(options: ChaosOptions): Promise<void> {
  const start = performance.now();
  const tell = (line: string) =>
    void process.stderr.write(`${((performance.now() - start) / 1_000).toFixed(1).padStart(7)} s  ${line}\n`);
  print(`Seed ${options.seed}, ${options.faults.length} kinds of faults`);
  const needsDisk = options.faults.some(({ name }) => name === 'fill-disk');
  const stage = await openStage(createRandom(String(options.seed)), needsDisk);
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
      `${violations} violations. Again: npm run chaos -- --seed ${options.seed} --minutes ${options.milliseconds / 60_000}` +
        ` --faults ${names}; the servers' logs: ${stage.directory}`,
    );
  }
  print(
    '0 violations: every acknowledged write is there once, nothing was overspent, no hold is stuck, the books add up.',
  );
}

// npm run chaos: breaks two servers and their Postgres on purpose, and proves that nothing was lost.
await runCommandLine(USAGE, (args) => chaos(parseOptions(args)));
