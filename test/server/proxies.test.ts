import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { registerUser } from '../helpers/accounts.js';
import { keepLines, readWarnings } from '../helpers/http/log-lines.js';
import { changeRecipe, startCaddy, startNginx } from '../helpers/http/proxies.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { findFreePort, isMissing, makeDirectory } from '../helpers/local-program.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

/** Returns the recipe in a language that the page about deployment shows, for our addresses. */
async function readRecipe(language: string, changes: Readonly<Record<string, string>>): Promise<string> {
  const page = await readFile(join(PROJECT_ROOT, 'docs/deploy.md'), 'utf8');
  const [, recipe] = new RegExp(`\`\`\`${language}\\n([^\`]+)\`\`\``).exec(page) ?? [];
  if (recipe === undefined) throw new Error(`the page has no recipe in ${language}`);
  return changeRecipe(recipe, changes);
}

/** Asks for a profile from an address of this machine; resolves to the status, or undefined where nobody answers. */
function ask(port: number, localAddress: string, forwarded?: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers = { authorization: 'Bearer x', ...(forwarded !== undefined && { 'x-forwarded-for': forwarded }) };
    const sent = request({ host: '127.0.0.1', port, path: '/api/users/me', localAddress, headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    sent.once('error', () => resolve(undefined));
    sent.end();
  });
}

/** Opens a server that lets an address make 5 requests a minute, with a log to read warnings from. */
async function open(t: Test) {
  const { lines, destination } = keepLines();
  const environment = { RATE_LIMIT: 'on', RATE_LIMIT_ADDRESS: '5', LOG_LEVEL: 'warn' };
  const server = await openTestServer(t, { environment, log: destination });
  const { host } = new URL(await server.listen());
  return { host, readWarnings: () => readWarnings(lines) };
}

/** Asserts that clients behind a proxy are told apart, and cannot be somebody else. */
async function assertToldApart(t: Test, port: number): Promise<void> {
  await until('the proxy answers', () => ask(port, '127.0.0.9'));
  const statuses: (number | undefined)[] = [];
  for (let n = 0; n < 7; n += 1) statuses.push(await ask(port, '127.0.0.2', `198.51.100.${n}`));
  t.strictSame(statuses, [401, 401, 401, 401, 401, 429, 429], 'a client cannot choose its address');
  t.equal(await ask(port, '127.0.0.3', '127.0.0.2'), 401, 'nor use up that of another');
}

t.test('the recipe for nginx tells clients apart', { skip: isMissing('nginx', '-v') }, async (t) => {
  const { host, readWarnings: warnings } = await open(t);
  const port = await findFreePort();
  const changes = { 'listen 80;': `listen 127.0.0.1:${port};`, 'listen [::]:80;': '', '127.0.0.1:3000': host };
  await startNginx(t, await readRecipe('nginx', changes));
  await assertToldApart(t, port);
  t.strictSame(warnings(), []);
});

/** Makes the recipe for nginx what certbot makes of it, with a certificate of our own. */
async function addHttps(t: Test, recipe: string): Promise<string> {
  const directory = await makeDirectory(t);
  const [key, certificate] = [join(directory, 'privkey.pem'), join(directory, 'fullchain.pem')];
  const files = ['-keyout', key, '-out', certificate];
  spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=x', ...files]);
  return recipe.replace(/(listen [^;]+);/, `$1 ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key};`);
}

/** Sends a request by HTTPS, whoever signed the certificate. */
function askSecurely(port: number, path: string, token: string, body?: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const to = { host: '127.0.0.1', port, path, headers, method: body ? 'POST' : 'GET', rejectUnauthorized: false };
    secureRequest(to, resolve).once('error', reject).end(body);
  });
}

const hasNoHttps = isMissing('nginx', '-v') || isMissing('openssl', 'version');
t.test('with HTTPS the recipe for nginx lets streams and big bodies through', { skip: hasNoHttps }, async (t) => {
  const server = await openTestServer(t, { environment: { OPENROUTER_API_KEY: 'sk-or-unused' } });
  const { host } = new URL(await server.listen());
  const user = await registerUser(server);
  const port = await findFreePort();
  const changes = { 'listen 80;': `listen 127.0.0.1:${port};`, 'listen [::]:80;': '', '127.0.0.1:3000': host };
  await startNginx(t, await addHttps(t, await readRecipe('nginx', changes)));
  await until('nginx answers', () => askSecurely(port, '/readyz', '').catch(() => undefined));

  const stream = await askSecurely(port, '/api/sync/stream', user.token);
  let received = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  for (const version of [0, 1, 2]) {
    await until(`version ${version} comes through`, () => received.includes(`"version":${version}`) || undefined);
    await user.as('PUT', '/api/sync/settings', { settings: { version } });
  }
  stream.destroy();

  const megabytes = (count: number) => Buffer.alloc(count * 1024 * 1024, ' ');
  const largest = await askSecurely(port, '/api/chat/stream', user.token, megabytes(20));
  t.match(largest.headers, { 'x-request-id': /./ }, 'the server answers what is as big as it takes');
  t.not(largest.statusCode, 413);
});

t.test('a plain proxy_pass of nginx does not, which the log tells', { skip: isMissing('nginx', '-v') }, async (t) => {
  const { host, readWarnings: warnings } = await open(t);
  const port = await findFreePort();
  await startNginx(t, `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${host}; } }`);
  await until('the proxy answers', () => ask(port, '127.0.0.9'));
  for (let n = 0; n < 10; n += 1) t.equal(await ask(port, '127.0.0.2', `198.51.100.${n}`), 401);
  t.match(warnings(), [/sets no X-Forwarded-For, so that its clients choose theirs/]);
});

t.test('the recipe for Caddy tells clients apart', { skip: isMissing('caddy', 'version') }, async (t) => {
  const { host, readWarnings: warnings } = await open(t);
  const port = await findFreePort();
  const changes = { 'tokens.example.com': `http://127.0.0.1:${port}`, '127.0.0.1:3000': host };
  await startCaddy(t, await readRecipe('caddyfile', changes));
  await assertToldApart(t, port);
  t.strictSame(warnings(), []);
});

t.end();
