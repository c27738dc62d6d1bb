import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { archiveMonth } from '../../src/jobs/archiving.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';

const USAGE =
  'Usage: npm run archive [-- --keep <months>] (packs the usage of sealed months, but for the newest so many that are over; 1 by default)';
const ELSEWHERE = 'A server, or a command that may have been killed, archives or seals months at the moment';

// npm run archive: packs one month after the other, as a running server does where ARCHIVE_MONTHS is set.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { keep: { type: 'string', default: '1' } });
  if (!/^\d{1,4}$/.test(values.keep)) throw new UsageError('--keep must be a whole number of months');
  loadEnvironmentFile();
  const { database, close } = await openClientForCommand();
  try {
    for (let count = 0; ; count += 1) {
      const done = await archiveMonth(database, Number(values.keep));
      if (done === 'none due') {
        if (count === 0) process.stdout.write('No sealed month is left to archive\n');
        return;
      }
      if (done === 'elsewhere' || !done.archived) {
        const why = done === 'elsewhere' ? ELSEWHERE : `${done.month} is being read or written`;
        process.stdout.write(`${why}: run this again later\n`);
        process.exitCode = 1;
        return;
      }
      process.stdout.write(`${done.month}: ${done.events} events and ${done.rollups} rollups are archived\n`);
    }
  } finally {
    await close();
  }
});
