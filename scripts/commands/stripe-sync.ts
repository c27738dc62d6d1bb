import { parseStripeConfig } from '../../src/config/config.js';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { createPayments, UNKNOWN_PRICES } from '../../src/features/subscriptions/payments.js';
import { reconcile } from '../../src/features/subscriptions/reconcile.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, parseWholeNumber, runCommandLine, UsageError } from '../command-line.js';

const USAGE =
  'Usage: npm run stripe:sync [-- --days N] (invoices of the last N days, 1 to 1000; 40 unless told otherwise)';

function parseDays(args: readonly string[]): number {
  try {
    const { values } = parseCommandLine(args, { days: { type: 'string', default: '40' } });
    return parseWholeNumber('days', values.days, 1_000);
  } catch (error) {
    // Unlike elsewhere, the exit code of misuse is 1 and the usage comes first: who schedules this command knows it so.
    throw error instanceof UsageError ? new StartupError(`${USAGE}\n${error.message}`) : error;
  }
}

// npm run stripe:sync: makes up for webhooks that were lost, beside a running server or without one.
await runCommandLine(USAGE, async (args) => {
  const days = parseDays(args);
  loadEnvironmentFile();
  const payments = await createPayments(parseStripeConfig(process.env));
  if (payments === undefined) throw new StartupError('STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET are not set');
  const { database, close } = await openClientForCommand();
  try {
    const found = await reconcile(database, payments, days);
    const { subscriptions, changed, invoices, granted, returned, unknownPrices } = found;
    process.stdout.write(
      `${subscriptions} subscriptions, ${changed} of them changed; ${invoices} paid invoices, ${granted} of them granted now; ${returned} whose money went or came back\n`,
    );
    if (unknownPrices.length > 0) process.stderr.write(`${UNKNOWN_PRICES} (${unknownPrices.join(', ')})\n`);
  } finally {
    await close();
  }
});
