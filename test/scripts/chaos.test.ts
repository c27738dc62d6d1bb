import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

const FAULTS = ['kill-server', 'kill-postgres', 'lose-client-answers', 'cut-database', 'cross-month'];

t.test('what was acknowledged is there once, whatever dies meanwhile', async (t) => {
  const options = ['--seed', '1', '--minutes', '0.15', '--faults', FAULTS.join(',')];
  const { code, stdout, stderr } = await runScript(t, 'chaos/main', options);
  t.equal(code, 0, `${stdout}\n${stderr}`);
  t.match(stdout, /^Seed 1, 5 kinds of faults\n/);
  t.match(stdout, /\n0 violations: every acknowledged write is there once/);
  t.match(stderr, /: .*; recovered in \d+ ms \(\d+ acknowledged/, 'it tells how far it is');
  t.match(stderr, /what devices were told with the database: [1-9]\d* debits/);
});

t.test('a fault that does not exist is refused by name', async (t) => {
  const { code, stderr } = await runScript(t, 'chaos/main', ['--faults', 'cut-database,flood']);
  t.equal(code, 2);
  t.match(stderr, /^There is no fault "flood": choose of kill-server, /);
});
