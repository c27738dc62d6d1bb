import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import t from '../helpers/run/tap.js';

const run = promisify(execFile);
const LOGGING = join(PROJECT_ROOT, 'dist/src/platform/logging.js');

/** Logs one event in a process of its own, whose output is a terminal or is not. */
async function logOnce(isTerminal: boolean): Promise<string> {
  const program = `
    process.stdout.isTTY = ${isTerminal};
    const { createLogger } = await import('file://${LOGGING}');
    createLogger('info').info({ token: 'not for the log', route: '/usage' }, 'answered');`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], { env: { NO_COLOR: '1' } });
  return stdout;
}

t.test('people at a terminal get a line they can read, without secrets', async (t) => {
  const line = await logOnce(true);
  t.match(line, /^\[[\d:.]+\] INFO: answered \{"token":"\[redacted\]","route":"\/usage"\}\n$/);
});

t.test('elsewhere the log is JSON', async (t) => {
  const line = await logOnce(false);
  t.match(JSON.parse(line), { level: 30, msg: 'answered', token: '[redacted]', route: '/usage' });
});
