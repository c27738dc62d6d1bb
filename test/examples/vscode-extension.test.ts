import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { followSignIn, openGoogle } from '../helpers/sign-in.js';
import { createSecrets, openEditor } from '../helpers/vscode.js';

const run = promisify(execFile);
const FOLDER = join(PROJECT_ROOT, 'examples/vscode-extension');
const REDIRECT_URI = 'vscode://tokenledger.tokenledger-sample/signed-in';

t.test('the samples compile with the types of VS Code and Chrome', async (t) => {
  const compiler = join(PROJECT_ROOT, 'node_modules/typescript/bin/tsc');
  for (const folder of [FOLDER, join(PROJECT_ROOT, 'examples/chrome-extension')]) {
    const said = await run(process.execPath, [compiler, '-p', folder]).then(
      () => '',
      ({ stdout }) => String(stdout),
    );
    t.equal(said, '');
  }
});

t.test('the commands it registers are those of its manifest', async (t) => {
  const manifest = JSON.parse(await readFile(join(FOLDER, 'package.json'), 'utf8'));
  const source = await readFile(join(FOLDER, 'src/extension.ts'), 'utf8');
  const registered = [...source.matchAll(/registerCommand\(\s*'([^']+)'/g)].map(([, name]) => name);
  const declared: { command: string }[] = manifest.contributes.commands;
  t.strictSame(registered.sort(), declared.map(({ command }) => command).sort());
});

t.test('the sample for VS Code counts what is asked, signs in and survives restarts', async (t) => {
  const google = await openGoogle(t);
  const environment = { ...google.environment, OAUTH_REDIRECT_URIS: REDIRECT_URI, DEFAULT_DEVICE_TOKENS: '3' };
  const server = await openTestServer(t, { environment });
  const url = await server.listen();
  const folder = t.testdir();
  await run(process.execPath, [join(FOLDER, 'build.js'), '--out', join(folder, 'extension.cjs')]);
  const openWindow = await openEditor(folder, { 'tokenledger.server': url });
  const secrets = createSecrets();

  const window = await openWindow(secrets);
  const [item] = window.statusBar;
  t.match(item, { text: '$(pulse) 3 left', tooltip: 'Sign in', command: 'tokenledger.signIn' });
  window.input = 'Why?';
  await window.run('tokenledger.ask');
  t.equal(item?.text, '$(pulse) 2 left');
  t.strictSame(window.messages, ['information: You asked: Why?']);
  window.input = undefined;
  await window.run('tokenledger.ask');
  t.equal(item?.text, '$(pulse) 2 left', 'who asks nothing pays nothing');

  await window.run('tokenledger.signIn');
  t.equal(window.opened.length, 1);
  const place = { url, publicUrl: 'https://tokens.example.com' };
  const back = await followSignIn(place, window.opened[0] ?? '', REDIRECT_URI);
  window.close();

  const next = await openWindow(secrets);
  await next.openUri(back.replace('state=', 'state=forged'));
  await next.openUri(back);
  t.strictSame(next.messages, ['error: The sign-in was not finished', 'information: Signed in as ada@example.com']);
  t.match(next.statusBar, [{ text: '$(pulse) 2 left', tooltip: 'Signed in as ada@example.com' }]);
  t.match(await server.database.sql('select user_id from devices'), [{ user_id: /-/ }]);

  next.messages.length = 0;
  next.input = 'Again?';
  for (let time = 0; time < 3; time += 1) await next.run('tokenledger.ask');
  t.strictSame(next.messages.at(-1), 'error: Insufficient tokens');
  t.match(next.statusBar, [{ text: '$(pulse) 0 left' }]);

  await next.run('tokenledger.signOut');
  t.match(next.statusBar, [{ text: '$(pulse) 0 left', command: 'tokenledger.signIn' }]);
  next.close();
  await server.verifyLedger(t);
});

t.end();
