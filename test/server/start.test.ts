import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { proxyNotice, welcome } from '../../src/platform/banner.js';
import { assertLedger, logUse, register, send } from '../helpers/http/server-load.js';
import { openDirectory, openReadyDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';

const run = promisify(execFile);

const curlMissing = await run('curl', ['--version']).then(
  () => false,
  () => 'curl is not installed',
);

const commandIn = (output: string) => /^ {2}(curl .+)$/m.exec(output)?.[1] ?? 'false';

t.test('the first start shows where it is, a password and a command; the second keeps all data', async (t) => {
  const directory = await openDirectory(t);
  const first = startServer(t, { cwd: directory.path });
  const url = await first.ready();
  t.match(first.stdout(), `ready at ${url}`);
  t.match(first.stdout(), `${url}/docs`);
  t.equal(first.stdout().match(/password: \S{16,}/g)?.length, 1, 'the password is shown once');
  t.match(first.stdout(), /username: admin\n/);
  t.equal(first.stderr(), '');

  const device = await register(url, 'kept');
  const spent = await logUse(url, device, 'before', 'claude-opus-4.5');
  t.equal(spent?.status, 200);
  first.signal('SIGTERM');
  t.strictSame(await first.ended, { code: 0, signal: null });

  const second = startServer(t, { cwd: directory.path });
  const again = await second.ready();
  t.notMatch(second.stdout(), /password|username/);
  const balance = await send(again, `/api/devices/${device.id}/tokens`, { token: device.token });
  t.match(balance, { status: 200, body: { allocated: 50, used: 3, remaining: 47 } }, 'its old token is still valid');
  const body = { device_name: 'Test', hardware_fingerprint: 'kept' };
  const registered = await send(again, '/api/devices/register', { body });
  t.match(registered, { status: 200, body: { device_id: device.id, remaining: 47 } });
  const repeated = await logUse(again, device, 'before', 'claude-opus-4.5');
  t.strictSame(repeated?.body, spent?.body, 'a retry across the restart is answered as before');
  await assertLedger(t, directory.sql);
});

t.test('the printed command works when pasted', { skip: curlMissing }, async (t) => {
  const directory = await openReadyDirectory(t);
  const server = startServer(t, { cwd: directory.path });
  await server.ready();
  const paste = async (): Promise<{ device_id: string }> =>
    JSON.parse((await run('sh', ['-c', commandIn(server.stdout())])).stdout);
  const device = await paste();
  t.match(device, { device_id: /^[0-9a-f-]{36}$/, device_token: String, allocation: 50, remaining: 50 });
  t.equal((await paste()).device_id, device.device_id, 'a second time it finds the same device');
});

t.test('settings come from .env in the working directory, and variables that are set win', async (t) => {
  const directory = await openReadyDirectory(t);
  const lines = ['DEFAULT_DEVICE_TOKENS=7', 'PORT=no number', 'ADMIN_PASSWORD=chosen by the operator', ''];
  await writeFile(join(directory.path, '.env'), lines.join('\n'));
  const server = startServer(t, { cwd: directory.path });
  const device = await register(await server.ready());
  t.match(await directory.sql('select allocated::int from public.balances'), [{ allocated: 7 }]);
  t.equal(device.id.length, 36);
  t.notMatch(server.stdout(), /password/, 'a password that was chosen is not shown');
});

t.test('a public address with a slash at its end makes no double slashes', async (t) => {
  t.match(welcome('https://tokens.example/'), 'curl -X POST https://tokens.example/api/devices/register ');
  t.equal(welcome('https://tokens.example/'), welcome('https://tokens.example'));
});

t.test('a server that listens beyond its machine says what to set for its proxy', async (t) => {
  const notice = proxyNotice({ host: '0.0.0.0', trustProxy: 'loopback' });
  t.match(
    welcome('https://tokens.example', [notice ?? '']),
    /TRUST_PROXY/,
    'in a container every proxy is another machine',
  );
  t.equal(proxyNotice({ host: '127.0.0.1', trustProxy: 'loopback' }), undefined);
  t.equal(proxyNotice({ host: '0.0.0.0', trustProxy: '172.17.0.1' }), undefined);
});
