import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

const { scripts }: { scripts: Record<string, string> } = JSON.parse(
  await readFile(join(PROJECT_ROOT, 'package.json'), 'utf8'),
);
/** Every command that `npm run` starts from the built scripts, by its path below them. */
const COMMANDS = Object.values(scripts).flatMap((script) => / dist\/scripts\/(\S+)\.js$/.exec(script)?.[1] ?? []);
/** Were a command to open a database all the same, it would say that this one does not answer. */
const NO_DATABASE = { DATABASE_URL: 'postgres://127.0.0.1:9/none', JWT_SECRET: 'x'.repeat(32) };

t.ok(COMMANDS.length >= 14, 'the commands are found');

for (const command of COMMANDS) {
  t.test(`${command} --help prints how to use it and runs nothing`, async (t) => {
    // Also beside what the command does not know.
    const { code, stdout, stderr } = await runScript(t, command, ['--unknown', '--help'], NO_DATABASE);
    t.equal(code, 0);
    t.match(stdout, /^Usage: npm run \S+.*\n$/);
    t.equal(stderr, '');
  });

  t.test(`${command} refuses what it does not know, in a sentence and with exit code 2`, async (t) => {
    for (const args of [['--unknown'], ['list', 'surplus', 'more', 'and', 'more']]) {
      const { code, stdout, stderr } = await runScript(t, command, args, NO_DATABASE);
      t.equal(stdout, '');
      // Who schedules this one knows its misuse by another exit code.
      t.equal(code, command === 'commands/stripe-sync' ? 1 : 2);
      t.match(
        stderr,
        /^(Usage: .*\n)?(Unknown option '--unknown'|Unexpected argument '\w+').*\n(Usage: npm run \S+.*\n)?$/,
      );
      t.match(stderr, /^Usage: npm run /m);
    }
  });
}

t.end();
