import { join } from 'node:path';
import t from 'tap';
import { runScript } from '../helpers/run-script.js';

const directory = t.testdir({ 'trace.csv': 'row\n1\n', 'header.csv': 'row\n', 'empty.csv': '' });
const file = join(directory, 'trace.csv');

const WRONG: readonly (readonly [what: string, args: readonly string[], reason: RegExp])[] = [
  ['no file', [], /^--file is missing$/],
  ['a file that is not there', ['--file', join(directory, 'no.csv')], /^--file .*no\.csv cannot be read \(ENOENT\)$/],
  ['a file with nothing but a header', ['--file', join(directory, 'header.csv')], /has no rows below its header$/],
  ['an empty file', ['--file', join(directory, 'empty.csv')], /has no rows below its header$/],
  ['an unknown option', ['--file', file, '--speed', '9'], /'--speed'/],
  ['an option without its value', ['--file'], /--file/],
  ['a stray argument', ['--file', file, 'more'], /more/],
  ['no devices', ['--file', file, '--devices', '0'], /^--devices must be a whole number from 1 to 100000$/],
  ['half a connection', ['--file', file, '--concurrency', '1.5'], /^--concurrency must be a whole number/],
  ['a limit that is no number', ['--file', file, '--limit', 'all'], /^--limit must be a whole number/],
  ['an address without a scheme', ['--file', file, '--url', '127.0.0.1:3000'], /^--url must be an address/],
  ['an address of another scheme', ['--file', file, '--url', 'ftp://127.0.0.1'], /^--url must be an address/],
  ['a blank model', ['--file', file, '--model', ' '], /^--model must be a name/],
  ['a run id no header can carry', ['--file', file, '--run', 'new line\n'], /^--run must be letters/],
];

for (const [what, args, reason] of WRONG) {
  t.test(`${what} is answered with the reason, the usage line and exit code 2`, async (t) => {
    const { code, stdout, stderr } = await runScript(t, 'replay', args);
    t.equal(code, 2);
    t.equal(stdout, '');
    const [said, usage, end, ...more] = stderr.split('\n');
    t.match(said, reason);
    t.match(usage, /^Usage: npm run replay -- --file /);
    t.strictSame([end, ...more], [''], 'and nothing else');
  });
}

t.test('--help prints the usage line', async (t) => {
  const { code, stdout, stderr } = await runScript(t, 'replay', ['--help']);
  t.equal(code, 0);
  t.match(stdout, /^Usage: npm run replay -- --file .*\n$/);
  t.equal(stderr, '');
});
