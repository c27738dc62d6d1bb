import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyPluginAsync } from 'fastify';
import { toSystemCode } from '../config/startup-error.js';
import { ALIVE, liveness } from '../platform/health/routes.js';
import { redirectToTidyUrl } from '../platform/http/api-prefix.js';
import { isNavigation } from '../platform/http/navigation.js';
import { varyBy } from '../platform/http/vary.js';
import { PROJECT_ROOT } from '../platform/project-root.js';
import { type PageFile, readPageFile, sendPageFile } from './page-file.js';

const DOCUMENT = /\.html$/;
const COMPRESSED = /\.(br|gz)$/;
/** Names that have a digest of the content in them: such a file never changes. */
const HASHED = /-[A-Z0-9]{8}\.(js|css)$/;
/** The page at the root. */
const START = '/start';
/** Where people change their password, from `/.well-known/change-password`. */
const CHANGE_PASSWORD = '../dashboard#/account';

/** Reads every page and what pages load, by their paths; browsers keep no document. */
async function readPages(folder: string): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const name of (await readdir(folder)).filter((entry) => DOCUMENT.test(entry))) {
    files.set(`/${name.replace(DOCUMENT, '')}`, await readPageFile(join(folder, name), 'no-store'));
  }
  for (const name of (await readdir(join(folder, 'assets'))).filter((entry) => !COMPRESSED.test(entry))) {
    const caching = HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache';
    files.set(`/assets/${name}`, await readPageFile(join(folder, 'assets', name), caching));
  }
  return files;
}

/** Serves the pages people see in a browser: what `npm run build` bundled, also when the server runs from its sources. */
export const pageRoutes: FastifyPluginAsync<{ folder?: string }> = async (app, { folder }) => {
  app.addHook('onRequest', redirectToTidyUrl);
  const files = await readPages(folder ?? join(PROJECT_ROOT, 'dist/pages')).catch((error: unknown) => {
    if (toSystemCode(error) === undefined) throw error;
    app.log.warn('the pages are missing: run "npm run build"');
    return new Map<string, PageFile>();
  });
  const start = files.get(START);
  files.delete(START);
  for (const [path, file] of files) {
    app.get(path, { schema: { hide: true } }, (request, reply) => sendPageFile(request, reply, file));
  }
  // Password managers ask here where a password is changed (https://w3c.github.io/webappsec-change-password-url/).
  app.get('/.well-known/change-password', { schema: { hide: true } }, (_request, reply) =>
    reply.header('cache-control', 'no-store').redirect(CHANGE_PASSWORD),
  );
  // What watches a server asks here, too, and expects JSON.
  app.get('/', { schema: liveness('getRoot') }, (request, reply) => {
    varyBy(reply, 'accept');
    return start !== undefined && isNavigation(request) ? sendPageFile(request, reply, start) : ALIVE();
  });
};
