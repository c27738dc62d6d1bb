import { StartupError } from '../../src/config/startup-error.js';
import { runCommandLine } from '../command-line.js';
import { openConnections } from './connections.js';
import { countRows } from './count-rows.js';
import { registerDevices } from './devices.js';
import { parseOptions, type ReplayOptions, USAGE } from './options.js';
import { createTally, sendPrompts } from './prompts.js';
import { formatSummary, showProgress } from './report.js';

async function replay(options: ReplayOptions): Promise<void> {
  const rows = Math.min(await countRows(options.file), options.limit);
  const connections = openConnections(options.api, options.concurrency);
  try {
    process.stdout.write(`Run ${options.run}: ${rows} prompts by ${options.devices} devices to ${options.api.href}\n`);
    const tokens = await registerDevices(connections, options);
    const tally = createTally();
    const endProgress = showProgress(process.stderr, tally, rows);
    const start = performance.now();
    await sendPrompts(connections, tokens, rows, options, tally);
    const seconds = (performance.now() - start) / 1_000;
    endProgress();
    process.stdout.write(formatSummary(tally, seconds));
    if (tally.problem !== undefined) {
      throw new StartupError(
        `Given up: no answer (${tally.problem}). To resume, run the same command with --run ${options.run}`,
      );
    }
  } finally {
    await connections.close();
  }
}

// npm run replay: sends the requests of a CSV file to a server, one prompt a row, as fast as the server takes them.
await runCommandLine(USAGE, (args) => replay(parseOptions(args)));
