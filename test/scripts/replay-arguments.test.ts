import { join } from 'node:path';
import { UsageError } from '../../scripts/command-line.js';
import { parseOptions } from '../../scripts/replay/options.js';
import { runScript } from '../helpers/http/run-script.js';
import t from '../helpers/run/tap.js';

const FILE = ['--file', 'trace.csv'];
const WRONG: readonly (readonly [what: string, args: readonly string[], reason: RegExp])[] = [
  ['no file', [], /^--file is missing$/],
  ['an empty file name', ['--file', ''], /^--file is missing$/],
  ['an unknown option', [...FILE, '--speed', '9'], /'--speed'/],
  ['an option without its value', ['--file'], /--file/],
  ['a stray argument', [...FILE, 'more'], /more/],
  ['no devices', [...FILE, '--devices', '0'], /^--devices must be a whole number from 1 to 100000$/],
  ['half a connection', [...FILE, '--concurrency', '1.5'], /^--concurrency must be a whole number/],
  ['a limit that is no number', [...FILE, '--limit', 'all'], /^--limit must be a whole number/],
  ['an address without a scheme', [...FILE, '--url', '127.0.0.1:3000'], /^--url must be an address/],
  ['an address of another scheme', [...FILE, '--url', 'ftp://127.0.0.1'], /^--url must be an address/],
  ['a blank model', [...FILE, '--model', ' '], /^--model must be a name/],
  ['a run id no header can carry', [...FILE, '--run', 'new line\n'], /^--run must be letters/],
];

for (const [what, args, reason] of WRONG) {
  t.test(`${what} is refused with the reason`, async (t) => {
    const error = t.throws(() => parseOptions(args));
    t.ok(error instanceof UsageError);
    t.match(error, { message: reason });
  });
}

t.test('the API is found below the address of the server, or is the address itself', async (t) => {
  const found = (url: string) => parseOptions([...FILE, '--url', url]).api.href;
  t.equal(found('http://127.0.0.1:3000'), 'http://127.0.0.1:3000/api');
  t.equal(found('http://127.0.0.1:3000/api/'), 'http://127.0.0.1:3000/api');
  t.equal(found('https://example.com/tokens/'), 'https://example.com/tokens/api');
});

const directory = t.testdir({ 'header.csv': 'row\n', 'empty.csv': '' });
const COMMANDS: readonly (readonly [what: string, args: readonly string[], reason: RegExp])[] = [
  ['a missing option', [], /^--file is missing$/],
  ['a file that is not there', ['--file', join(directory, 'no.csv')], /^--file .*no\.csv cannot be read \(ENOENT\)$/],
  ['a file with nothing but a header', ['--file', join(directory, 'header.csv')], /has no rows below its header$/],
  ['an empty file', ['--file', join(directory, 'empty.csv')], /has no rows below its header$/],
];

for (const [what, args, reason] of COMMANDS) {
  t.test(`${what} ends the command with the reason, the usage line and exit code 2`, async (t) => {
    const { code, stdout, stderr } = await runScript(t, 'replay/main', args);
    t.equal(code, 2);
    t.equal(stdout, '');
    const [said, usage, end, ...more] = stderr.split('\n');
    t.match(said, reason);
    t.match(usage, /^Usage: npm run replay -- --file /);
    t.strictSame([end, ...more], [''], 'and nothing else');
  });
}

t.test('--help prints the usage line', async (t) => {
  const { code, stdout, stderr } = await runScript(t, 'replay/main', ['--help']);
  t.equal(code, 0);
  t.match(stdout, /^Usage: npm run replay -- --file .*\n$/);
  t.equal(stderr, '');
});
