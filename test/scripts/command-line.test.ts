import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

const COMMANDS = ['admin', 'seed', 'reconcile', 'stripe-sync', 'replay/main', 'bench/main'];
/** Were a command to open a database all the same, it would say that this one does not answer. */
const NO_DATABASE = { DATABASE_URL: 'postgres://127.0.0.1:9/none', JWT_SECRET: 'x'.repeat(32) };

for (const command of COMMANDS) {
  t.test(`${command} --help prints how to use it and runs nothing`, async (t) => {
    const { code, stdout, stderr } = await runScript(t, command, ['--help'], NO_DATABASE);
    t.equal(code, 0);
    t.match(stdout, /^Usage: npm run \S+.*\n$/);
    t.equal(stderr, '');
  });
}

for (const command of COMMANDS.filter((name) => name !== 'stripe-sync')) {
  t.test(`${command} refuses what it does not know, in a sentence and with exit code 2`, async (t) => {
    for (const args of [['--unknown'], ['list', 'surplus', 'more']]) {
      const { code, stdout, stderr } = await runScript(t, command, args, NO_DATABASE);
      t.equal(code, 2);
      t.equal(stdout, '');
      t.match(stderr, /^(Unknown option '--unknown'|Unexpected argument '\w+').*\nUsage: npm run \S+.*\n$/);
    }
  });
}
