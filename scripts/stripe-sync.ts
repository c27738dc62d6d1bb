import { parseStripeConfig } from '../src/config/config.js';
import { createPayments } from '../src/features/subscriptions/payments.js';
import { reconcile } from '../src/features/subscriptions/reconcile.js';
import { openClientForCommand, runCommand } from '../src/platform/database/command.js';
import { StartupError } from '../src/platform/startup-error.js';

const USAGE = 'Usage: npm run stripe:sync [-- --days N] (invoices of the last N days, 1 to 1000; 40 unless told)';

function daysOf(args: readonly string[]): number {
  if (args.length === 0) return 40;
  const days = args.length === 2 && args[0] === '--days' && /^\d{1,4}$/.test(args[1] ?? '') ? Number(args[1]) : 0;
  if (days < 1 || days > 1_000) throw new StartupError(USAGE);
  return days;
}

// npm run stripe:sync: makes up for webhooks that were lost, beside a running server or without one.
await runCommand(async () => {
  const days = daysOf(process.argv.slice(2));
  const payments = createPayments(parseStripeConfig(process.env));
  if (payments === undefined) throw new StartupError('STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET are not set');
  const { database, close } = await openClientForCommand();
  try {
    const { subscriptions, changed, invoices, granted } = await reconcile(database, payments, days);
    process.stdout.write(
      `${subscriptions} subscriptions, ${changed} of them changed; ${invoices} paid invoices, ${granted} of them granted now\n`,
    );
  } finally {
    await close();
  }
});
