import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import { toSystemCode } from '../config/startup-error.js';
import { redirectToTidyUrl } from '../platform/http/api-prefix.js';
import { PROJECT_ROOT } from '../platform/project-root.js';

/** Every page: a folder of `src/web`, served at the path of its name; `account` is what those about accounts share. */
const PAGES = [
  'account',
  'checkout-cancelled',
  'checkout-success',
  'dashboard',
  'invitation',
  'reset-password',
  'verify-email',
] as const;
const DOCUMENT = 'index.html';
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** A page loads what is beside it and calls this server, nothing else; a form cannot leave without its script. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/**
 * Serves a file from memory. Browsers keep no document, and ask each time whether their other files are still the same: by
 * a digest of the content, as times and sizes (what static file plugins use) differ between servers that serve the same.
 */
function serveFile(app: FastifyInstance, path: string, name: string, content: Buffer): void {
  const type = CONTENT_TYPES[extname(name)] ?? 'application/octet-stream';
  const etag = `"${createHash('sha256').update(content).digest('base64url')}"`;
  const caching = name === DOCUMENT ? { 'cache-control': 'no-store' } : { 'cache-control': 'no-cache', etag };
  app.get(path, { schema: { hide: true } }, (request, reply) => {
    reply.headers({ ...SECURITY_HEADERS, ...caching });
    const isKnown = 'etag' in caching && request.headers['if-none-match']?.includes(etag);
    return isKnown ? reply.code(304).send() : reply.type(type).send(content);
  });
}

/** Reads a page's files and serves each: the document at the page's own path, the others below it. */
async function servePage(app: FastifyInstance, folder: string, page: string): Promise<void> {
  const names = (await readdir(join(folder, page))).filter((name) => Object.hasOwn(CONTENT_TYPES, extname(name)));
  for (const name of names) {
    const content = await readFile(join(folder, page, name));
    serveFile(app, name === DOCUMENT ? `/${page}` : `/${page}/${name}`, name, content);
  }
}

/**
 * Serves the pages people see in a browser. What is served was compiled by `npm run build`, also when the server itself runs
 * from its sources; pages that were not are logged and not found.
 *
 * @param options.folder where the compiled pages are
 */
export const pageRoutes: FastifyPluginAsync<{ folder?: string }> = async (
  app,
  { folder = join(PROJECT_ROOT, 'dist/src/web') },
) => {
  app.addHook('onRequest', redirectToTidyUrl);
  for (const page of PAGES) {
    try {
      await servePage(app, folder, page);
    } catch (error) {
      if (toSystemCode(error) === undefined) throw error;
      app.log.warn({ page }, 'this page is missing: run "npm run build"');
    }
  }
};
