import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify from 'fastify';
import { pageRoutes } from '../../src/web/plugin.js';
import { keepingLogger } from '../helpers/http/log-lines.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const { app } = await openTestServer(t);
/** The pages that mailed links and Stripe lead to, with the number of files each loads. */
const ACCOUNT_PAGES = {
  'reset-password': 3,
  'verify-email': 3,
  invitation: 3,
  'checkout-success': 3,
  'checkout-cancelled': 2,
};
const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers });

for (const [name, files] of Object.entries(ACCOUNT_PAGES)) {
  t.test(`the page ${name} is HTML under a strict policy, kept by nobody and telling nobody`, async (t) => {
    const page = await get(`/${name}`);
    t.equal(page.statusCode, 200);
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
    t.notMatch(page.payload, /<script(?! type="module" src=")|<style|style=|\son\w+=|https?:/i, 'nothing is inline');
    t.equal((await app.inject({ method: 'HEAD', url: `/${name}` })).statusCode, 200);
  });

  t.test(`what the page ${name} loads is this server's, typed and asked for again only when it changed`, async (t) => {
    const page = await get(`/${name}`);
    const references = [...page.payload.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target]) => target ?? '');
    t.equal(references.length, files);
    for (const reference of references) {
      const { pathname } = new URL(reference, `http://localhost/${name}`);
      const file = await get(pathname);
      t.equal(file.statusCode, 200, pathname);
      t.match(file.headers, { 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', etag: /^"[\w-]+"$/ });
      const type = { css: 'text/css', '.js': 'text/javascript', svg: 'image/svg+xml' }[pathname.slice(-3)];
      t.match(file.headers['content-type'], type);
      const etag = String(file.headers.etag);
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
        const again = await get(pathname, { 'if-none-match': known });
        t.equal(again.statusCode, 304);
        t.equal(again.payload, '');
        t.equal(again.headers.etag, etag);
      }
      t.equal((await get(pathname, { 'if-none-match': '"other"' })).statusCode, 200);
    }
  });
}

t.test('nothing else is served', async (t) => {
  for (const path of [
    '/api/reset-password',
    '/account',
    '/account/page.ts',
    '/reset-password/index.html',
    '/reset-password/page.ts',
    '/reset-password/tsconfig.json',
    '/reset-password/..%2fplugin.js',
    '/reset-password/%2e%2e/plugin.js',
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
  await bare.register(pageRoutes, { folder });
  t.equal((await bare.inject({ url: '/reset-password' })).statusCode, 404);
  t.equal(lines.filter((line) => line.includes('npm run build') && line.includes('reset-password')).length, 1);
});

t.end();
