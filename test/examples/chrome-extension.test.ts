import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { extensionsMissing } from '../helpers/http/browser.js';
import { openExtensionBrowser } from '../helpers/http/browser-extension.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { openGoogle } from '../helpers/sign-in.js';
import { until } from '../helpers/until.js';

const run = promisify(execFile);
const SERVER = 'http://tokens.example.com';
const ID = 'klcjkmhfnindclopjbfnjmkmnhadchcc';
const CHAT_PAGE = `<!doctype html><title>Chat</title>
  <form data-model="claude-opus-4.5"><textarea></textarea><button>Send</button></form>
  <script>document.forms[0].onsubmit = (event) => { event.preventDefault(); event.target.reset(); }</script>`;

/** Serves a page with a chat on it; it ends with the test. */
async function openChatPage(t: Test): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(CHAT_PAGE);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port }: AddressInfo = Object(server.address());
  return `http://127.0.0.1:${port}/`;
}

t.test(
  'the sample for Chrome counts a page, signs in and survives restarts',
  { skip: extensionsMissing },
  async (t) => {
    const google = await openGoogle(t);
    const environment = {
      ...google.environment,
      PUBLIC_URL: `${SERVER}/`,
      OAUTH_REDIRECT_URIS: `https://${ID}.chromiumapp.org/`,
      DEFAULT_DEVICE_TOKENS: '20',
    };
    const server = await openTestServer(t, { environment });
    const { port } = new URL(await server.listen());
    const folder = t.testdir();
    const script = join(PROJECT_ROOT, 'examples/chrome-extension/build.js');
    await run(process.execPath, [script, '--server', SERVER, '--out', folder]);
    const hosts = [`MAP tokens.example.com:80 127.0.0.1:${port}`, 'MAP localhost 127.0.0.1'];
    const browser = await openExtensionBrowser(t, folder, hosts);
    t.equal(browser.id, ID, 'its address is the one the server knows');

    const readBalance = async () =>
      (await server.database.sql('select used::int, user_id from balances join devices on id = subject_id'))[0];
    const isUsed = (used: number) =>
      until(`${used} are used`, async () => (await readBalance())?.['used'] === used || undefined);
    const badge = async () => (await browser.worker()).evaluate('chrome.action.getBadgeText({})');
    await until('the device is registered', readBalance);

    const chat = await browser.openPage(await openChatPage(t));
    const send = async () => {
      await chat.fill('textarea', 'Hello!');
      await chat.click('button');
    };
    await send();
    await isUsed(3);
    await until('the badge shows it', async () => (await badge()) === '17' || undefined);

    // What a page that took over its renderer can do: act as the content script there.
    const session = await browser.context.newCDPSession(chat);
    const scripts: number[] = [];
    session.on('Runtime.executionContextCreated', ({ context }) => {
      if (context.origin === `chrome-extension://${ID}`) scripts.push(context.id);
    });
    await session.send('Runtime.enable');
    const contextId = await until('the content script is there', () => scripts[0]);
    const expression = "chrome.storage.local.get().then((kept) => Object.keys(kept).join(), () => 'refused')";
    const stolen = await session.send('Runtime.evaluate', { expression, contextId, awaitPromise: true });
    t.equal(stolen.result.value, 'refused', 'pages get at no token');

    const popup = await browser.openPage(`chrome-extension://${ID}/popup.html`);
    const complaints: string[] = [];
    popup.on('pageerror', ({ message }) => complaints.push(message));
    popup.on('console', (entry) => {
      // The browser's own line for a refusal: the token of the device ends when it becomes hers.
      if (!entry.text().startsWith('Failed to load resource: the server responded')) complaints.push(entry.text());
    });
    await popup.getByText('17 tokens left').waitFor();
    await popup.getByText('Nobody is signed in').waitFor();

    await popup.getByRole('button', { name: 'Sign in with Google' }).click();
    await popup.getByText('ada@example.com: 1,000,000 tokens left').waitFor();
    t.match(await readBalance(), { user_id: /-/ }, 'the device is hers');

    await browser.endWorker();
    await send();
    await isUsed(6);
    await popup.reload();
    await popup.getByText('14 tokens left').waitFor();

    await popup.getByRole('button', { name: 'Sign out' }).click();
    await popup.getByText('Nobody is signed in').waitFor();
    t.strictSame(complaints, []);
    await server.verifyLedger(t);
  },
);

t.end();
