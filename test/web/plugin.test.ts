import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import Fastify from 'fastify';
import { pageRoutes } from '../../src/web/plugin.js';
import { keepingLogger } from '../helpers/http/log-lines.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const { app } = await openTestServer(t);
const PAGES = [
  'dashboard',
  'sign-up',
  'forgot-password',
  'reset-password',
  'verify-email',
  'invitation',
  'signed-in',
  'checkout-success',
  'checkout-cancelled',
];
const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers });
/** What a document loads. */
const referencesIn = (page: string) => [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target]) => target ?? '');

t.test('every page is HTML under a strict policy, kept by nobody and telling nobody', async (t) => {
  for (const path of ['/', ...PAGES.map((name) => `/${name}`)]) {
    const page = await get(path, HTML);
    t.equal(page.statusCode, 200, path);
    t.match(page.headers, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    const directives = String(page.headers['content-security-policy']).split('; ');
    t.strictSame(directives.sort(), [
      "base-uri 'none'",
      "connect-src 'self'",
      "default-src 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "img-src 'self'",
      "script-src 'self'",
      "style-src 'self'",
    ]);
    const inline = /<script(?! (type="module" )?src=")|<style|style=|\son\w+=|https?:/i;
    t.notMatch(page.payload, inline, 'nothing is inline');
    t.equal((await app.inject({ method: 'HEAD', url: path, headers: HTML })).statusCode, 200);
  }
});

t.test(
  'password managers are led to where a password is changed, and are not told that everything is there',
  async (t) => {
    const { statusCode, headers } = await get('/.well-known/change-password', HTML);
    t.equal(statusCode, 302);
    const target = new URL(String(headers.location), 'http://localhost/.well-known/change-password');
    t.equal(target.href, 'http://localhost/dashboard#/account');
    const nothing = await get('/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200', HTML);
    t.equal(nothing.statusCode, 404);
  },
);

t.test(
  "what pages load is this server's, typed, compressed, and kept for good where its name says what it is",
  async (t) => {
    const paths = new Set<string>();
    for (const name of PAGES) {
      const references = referencesIn((await get(`/${name}`)).payload);
      t.ok(references.length >= 4, name);
      for (const reference of references) paths.add(new URL(reference, `http://localhost/${name}`).pathname);
    }
    t.ok(paths.size > PAGES.length);
    for (const path of paths) {
      const file = await get(path);
      t.equal(file.statusCode, 200, path);
      const caching = path.endsWith('icon.svg') ? 'no-cache' : 'public, max-age=31536000, immutable';
      const { etag } = file.headers;
      t.match(file.headers, { 'cache-control': caching, 'x-content-type-options': 'nosniff', etag: /^"[\w-]+"$/ });
      const type = { css: 'text/css', '.js': 'text/javascript', svg: 'image/svg+xml' }[path.slice(-3)];
      t.match(file.headers['content-type'], type);
      for (const known of [`${etag}`, `W/${etag}`, `"other", ${etag}`]) {
        const again = await get(path, { 'if-none-match': known });
        t.match(again, { statusCode: 304, payload: '', headers: { etag } });
      }
      const brotli = await get(path, { 'accept-encoding': 'gzip, deflate, br' });
      t.match(brotli.headers, { 'content-encoding': 'br', vary: 'accept-encoding', etag });
      t.equal(brotliDecompressSync(brotli.rawPayload).toString(), file.payload);
      const gzip = await get(path, { 'accept-encoding': 'gzip;q=0.5, br;q=0' });
      t.equal(gzip.headers['content-encoding'], 'gzip');
      t.equal(gunzipSync(gzip.rawPayload).toString(), file.payload);
      t.notMatch(file.payload, /\beval\(|new Function|document\.write/, path);
    }
  },
);

t.test('the root is a page for browsers, and says that the server lives to programs', async (t) => {
  const [page, json] = [await get('/', HTML), await get('/', { accept: '*/*' })];
  t.match(page.payload, '<!doctype html>');
  t.match(page.headers.vary, /accept/);
  t.strictSame(json.json(), { status: 'ok' });
  t.equal(json.headers.vary, 'accept');
  t.equal((await get('/api', HTML)).statusCode, 404);
});

t.test('the licences of what is bundled are beside it', async (t) => {
  const licences = await get('/assets/licences.txt');
  t.match(licences.headers['content-type'], 'text/plain');
  for (const name of ['preact', '@preact/signals', 'uplot']) t.match(licences.payload, name);
  t.match(licences.payload, /Leon Sorokin[\s\S]*MIT|MIT[\s\S]*Leon Sorokin/);
});

t.test('nothing else is served', async (t) => {
  for (const path of [
    '/api/reset-password',
    '/start',
    '/account',
    '/foundation',
    '/assets',
    '/dashboard/main.tsx',
    '/reset-password.html',
    '/assets/icon.svg.br',
    '/assets/..%2fdashboard.html',
    '/assets/%2e%2e/dashboard.html',
  ]) {
    t.equal((await get(path)).statusCode, 404, path);
  }
  t.match(await get('//reset-password/?a=1'), { statusCode: 308, headers: { location: '/reset-password?a=1' } });
  t.notMatch((await get('/openapi.json')).payload, '"/reset-password', 'the document is about the API');
});

t.test('pages that were not built are not found, and the log says what to do', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tokenledger-pages-'));
  t.after(() => rm(folder, { recursive: true }));
  const { lines, logger } = keepingLogger();
  const bare = Fastify({ loggerInstance: logger });
  await bare.register(pageRoutes, { folder: join(folder, 'none') });
  t.equal((await bare.inject({ url: '/reset-password' })).statusCode, 404);
  t.strictSame((await bare.inject({ url: '/', headers: HTML })).json(), { status: 'ok' });
  t.equal(lines.filter((line) => line.includes('npm run build')).length, 1);
});

t.end();
