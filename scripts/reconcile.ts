import { reconcile } from '../src/chat/reconcile.js';
import { createUpstream } from '../src/chat/upstream.js';
import { readConfig } from '../src/config.js';
import { openClientForCommand, runCommand } from '../src/database/command.js';
import { StartupError } from '../src/startup-error.js';

// npm run reconcile: corrects estimated chat requests to what upstream counted, as a running server does every minute.
await runCommand(async () => {
  const upstream = createUpstream(readConfig(process.env));
  if (upstream === undefined) throw new StartupError('There is nothing to ask: OPENROUTER_API_KEY is not set');
  const { database, close } = await openClientForCommand();
  try {
    const { asked, corrected, tokens } = await reconcile(database, upstream);
    process.stdout.write(`Asked about ${asked} estimates, corrected ${corrected}: ${tokens} tokens given back.\n`);
  } finally {
    await upstream.close();
    await close();
  }
});
