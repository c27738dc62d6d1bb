import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
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
    const misused = [['--unknown'], ['list', 'surplus', 'more', 'and', 'more']];
    const runs = misused.map((args) => runScript(t, command, args, NO_DATABASE));
    for (const { code, stdout, stderr } of await Promise.all(runs)) {
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

/** What each command is given that needs a database. */
const ASKING: readonly (readonly [string, ...string[]])[] = [
  ['commands/backup', '--directory', join(tmpdir(), 'tokenledger-no-backups')],
  ['commands/move', '--to', 'postgres://127.0.0.1:9/there'],
  ['commands/verify'],
  ['commands/admin', 'list'],
  ['commands/seed'],
  ['database/migrate'],
];

t.test('a database that cannot be reached is said in one line, with exit code 1', async (t) => {
  const runs = ASKING.map(([command, ...args]) => runScript(t, command, args, NO_DATABASE));
  for (const { code, stdout, stderr } of await Promise.all(runs)) {
    t.match({ code, stdout }, { code: 1, stdout: '' });
    t.match(stderr, /^The database cannot be reached; check DATABASE_URL.* \(ECONNREFUSED: nothing listens there\)\n$/);
  }
});

t.test('what a command itself has to say is not replaced by what the system said', async (t) => {
  const missing = join(tmpdir(), 'tokenledger-no-backups', 'none.tar.gz');
  t.match(await runScript(t, 'restore', [missing], NO_DATABASE), {
    code: 1,
    stderr: `${missing} cannot be read as a backup: ENOENT\n`,
  });
});

const UNBUILT = Object.entries(scripts).flatMap(([name, script]) => {
  const [, path] = /^node (scripts\/build\/\S+\.js)$/.exec(script) ?? [];
  return path === undefined ? [] : [{ name, path }];
});

t.strictSame(
  UNBUILT.map(({ name }) => name),
  ['build', 'start', 'dev'],
);

for (const { name, path } of UNBUILT) {
  t.test(`${name} --help starts nothing, and what it does not know is refused`, async (t) => {
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [path, ...args], { cwd: PROJECT_ROOT, encoding: 'utf8' });
    t.match(run('--port', '80', '--help'), { status: 0, stdout: /^Usage: npm (start|run \w+) .*\n$/, stderr: '' });
    t.match(run('--port'), { status: 2, stdout: '', stderr: /^Unknown option '--port'\nUsage: npm / });
    t.match(run('80'), { status: 2, stdout: '', stderr: /^Unexpected argument '80'\nUsage: npm / });
  });
}

t.end();
