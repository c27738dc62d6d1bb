import { parseConfig } from '../../src/config/config.js';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { createUpstream } from '../../src/features/chat/openrouter/upstream.js';
import { reconcile } from '../../src/features/chat/reconcile.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

const USAGE = 'Usage: npm run reconcile (corrects estimated chat requests to what OpenRouter counted)';

// npm run reconcile: corrects estimated chat requests to what upstream counted, as a running server does every minute.
await runCommandLine(USAGE, async (args) => {
  parseCommandLine(args, {});
  loadEnvironmentFile();
  const { chat } = parseConfig(process.env);
  if (chat === undefined) throw new StartupError('There is nothing to ask: OPENROUTER_API_KEY is not set');
  const upstream = createUpstream(chat);
  const { database, close } = await openClientForCommand();
  try {
    const { asked, corrected, tokens } = await reconcile(database, upstream);
    process.stdout.write(`Asked about ${asked} estimates, corrected ${corrected}: ${tokens} tokens given back.\n`);
  } finally {
    await upstream.close();
    await close();
  }
});
