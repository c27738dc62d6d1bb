import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

t.test('a server that is loaded beyond what it can do refuses the rest, and starves nobody', async (t) => {
  const options = ['--scenario', 'overload', '--rate', '3000', '--seconds', '1'];
  const { code, stdout, stderr } = await runScript(t, 'chaos/main', options);
  t.equal(code, 0, `${stdout}\n${stderr}`);
  t.match(stdout, /patient clients: 3000 uses, 3000 a second.*\n {2}answered [1-9]\d*, refused [1-9]\d*, /);
  t.match(stdout, /5 of 5 streams of changes stayed open/);
  t.match(stdout, /beside 20 batches .*× 200/);
  t.match(stdout, /\n0 violations: what was too much was refused at once, nobody was starved, the books add up/);
});
