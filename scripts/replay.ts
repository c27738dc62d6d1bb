import { StartupError } from '../src/platform/startup-error.js';
import { openConnections } from './replay/connections.js';
import { registerDevices } from './replay/devices.js';
import { type ReplayOptions, readOptions, USAGE, UsageError } from './replay/options.js';
import { newTally, sendPrompts } from './replay/prompts.js';
import { showProgress, summaryOf } from './replay/report.js';
import { countRows } from './replay/rows.js';

// npm run replay: sends the requests of a CSV file to a server, one prompt a row, as fast as the server takes them.

async function replay(options: ReplayOptions): Promise<void> {
  const rows = Math.min(await countRows(options.file), options.limit);
  const connections = openConnections(options.api, options.concurrency);
  try {
    process.stdout.write(`Run ${options.run}: ${rows} prompts by ${options.devices} devices to ${options.api.href}\n`);
    const tokens = await registerDevices(connections, options);
    const tally = newTally();
    const endProgress = showProgress(process.stderr, tally, rows);
    const start = performance.now();
    await sendPrompts(connections, tokens, rows, options, tally);
    const seconds = (performance.now() - start) / 1_000;
    endProgress();
    process.stdout.write(summaryOf(tally, seconds));
    if (tally.problem !== undefined) {
      throw new StartupError(
        `Given up: no answer (${tally.problem}). To resume, run the same command with --run ${options.run}`,
      );
    }
  } finally {
    connections.close();
  }
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(`${USAGE}\n`);
  else await replay(options);
}

main().catch((error: unknown) => {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n${USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  const expected = error instanceof StartupError;
  process.stderr.write(`${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
