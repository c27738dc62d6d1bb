import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createLogger } from '../../src/platform/logging.js';
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

t.test('a line is written soon in a process that goes on, and nothing where there is none', async (t) => {
  const program = `
    import fs from 'node:fs';
    const { write } = fs;
    let empty = 0;
    fs.write = (fd, text, ...rest) => {
      if (text.length === 0) empty += 1;
      return write(fd, text, ...rest);
    };
    const { createLogger } = await import('file://${LOGGING}');
    const log = createLogger('info');
    process.stdin.on('data', () => log.info({ empty }, 'asked'));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  for (let count = 0; count < 3; count += 1) {
    child.stdin.write('go on');
    const [line]: unknown[] = await once(child.stdout, 'data');
    t.match(JSON.parse(String(line)), { msg: 'asked', empty: 0 });
  }
  child.kill();
  await once(child, 'exit');
});

t.test('credentials are left out however deep they are, and everything else is logged as it is', async (t) => {
  const lines: string[] = [];
  const log = createLogger('info', { write: (line) => lines.push(line) });
  const detailed = Object.assign(new Error('refused'), { code: '23505', details: 'Key (email)=(a@example.org)' });
  const logged = {
    request: { headers: [{ cookie: 'secret-1', host: 'x' }], body: { user: { password: 'secret-2' } } },
  };
  log.info({ ...logged, count: 3, empty: null }, 'deep');
  log.error({ err: detailed }, 'failed');
  log.child({ token: 'secret-3' }).info('child');
  const [deep, failed, child] = lines.map((line): unknown => JSON.parse(line));
  t.match(deep, { request: { headers: [{ cookie: '[redacted]', host: 'x' }] }, count: 3, empty: null, msg: 'deep' });
  t.match(failed, {
    err: { type: 'Error', message: 'refused', code: '23505', details: '[redacted]', stack: /refused/ },
  });
  t.match(child, { token: '[redacted]', msg: 'child' });
  t.notMatch(lines.join(), /secret-|example\.org/);
  t.equal(logged.request.body.user.password, 'secret-2', 'what is logged is not changed');
});
