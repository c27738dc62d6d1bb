import { Type } from '@sinclair/typebox';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { type Database, LONG_TIMEOUT_MS } from '../../src/platform/database/client/database.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

const USAGE = 'Usage: npm run verify [-- --full] (proves the books; --full also reads every sealed month again)';

const CheckedSchema = Type.Object({
  ok: Type.Boolean(),
  checked: Type.Integer(),
  discrepancies: Type.Array(Type.Unknown()),
});
const ChecksSchema = Type.Array(Type.Intersect([Type.Object({ name: Type.String() }), CheckedSchema]));
const MonthsSchema = Type.Array(
  Type.Object({ month: Type.String(), sealed: Type.Boolean(), checksum: Type.Union([Type.String(), Type.Null()]) }),
);

const LONG = { timeoutMs: LONG_TIMEOUT_MS };

/** Prints what a check came to, with what it found, and returns whether all is well. */
function report(name: string, { ok, checked, discrepancies }: (typeof CheckedSchema)['static']): boolean {
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name} (${checked} compared)\n`);
  for (const found of discrepancies) process.stdout.write(`       ${JSON.stringify(found)}\n`);
  return ok;
}

/** Reads the sealed months again, one at a time, oldest first, and returns whether all are as they were sealed. */
async function verifyMonths(database: Database): Promise<boolean> {
  const months = (await database.call('list_ledger_months', {}, MonthsSchema)).filter(({ sealed }) => sealed);
  let ok = true;
  for (const [index, { month, checksum }] of months.entries()) {
    const outcome = await database.call('verify_month', { p_month: month }, CheckedSchema, LONG);
    ok = report(`month ${month}, ${index + 1} of ${months.length}, checksum ${checksum}`, outcome) && ok;
  }
  return ok;
}

// npm run verify: proves the books as GET /admin/ledger/verify does, and month by month where it is told to read all.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { full: { type: 'boolean', default: false } });
  loadEnvironmentFile();
  const { database, close } = await openClientForCommand();
  try {
    const monthsAreSound = !values.full || (await verifyMonths(database));
    const checks = await database.call('verify_ledger', {}, ChecksSchema, LONG);
    const isSound = checks.map((check) => report(check.name, check)).every(Boolean);
    if (!monthsAreSound || !isSound) process.exitCode = 1;
  } finally {
    await close();
  }
});
