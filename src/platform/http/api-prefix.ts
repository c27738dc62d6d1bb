import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { ApiError } from '../errors.js';

/** The prefix under which the API can be called besides the root, so that a client's base URL may end in it or not. */
const API_PREFIX = '/api';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for the routes of the API. */
    isApi?: boolean;
  }
}

/** The page at `/docs` has an address of its own with a slash at the end: what it loads is named relative to that. */
const DOCUMENTATION = '/docs/';

/** Matches a path with slashes that say nothing, and perhaps one without. */
const UNTIDY = /\/(\/|\?|$)/;

/**
 * Returns a URL with single slashes only and none at the end of its path, as a base URL that somebody typed may end in
 * one or more. What stands behind the question mark stays.
 */
function tidySlashes(url: string): string {
  if (!UNTIDY.test(url)) return url;
  const [path = ''] = url.split('?', 1);
  const single = path.replace(/\/{2,}/g, '/');
  const tidy = single === DOCUMENTATION ? single : single.replace(/(.)\/$/, '$1');
  return `${tidy}${url.slice(path.length)}`;
}

/** Returns whether a URL is below the API's prefix. */
export function hasApiPrefix(url: string): boolean {
  const tidy = tidySlashes(url);
  return tidy.startsWith(API_PREFIX) && ['', '/', '?'].includes(tidy.charAt(API_PREFIX.length));
}

/**
 * Returns a request's URL as the routes have it: without the API's prefix, so that every route is registered once and
 * answers at both, and without slashes that say nothing.
 */
export function toRoutedUrl(url: string): string {
  const tidy = tidySlashes(url);
  if (!hasApiPrefix(tidy)) return tidy;
  const rest = tidy.slice(API_PREFIX.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Sends a browser on to a page's own address, as what the page loads is named relative to it. */
export async function redirectToTidyUrl({ originalUrl }: FastifyRequest, reply: FastifyReply): Promise<void> {
  const tidy = tidySlashes(originalUrl);
  if (tidy !== originalUrl) return reply.redirect(tidy, 308);
}

/** Marks the routes of a scope as the API's, which the OpenAPI document and the log show below the prefix. */
export function markAsApi(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    route.config = { ...route.config, isApi: true };
  });
}

/** Has the routes of a scope, which are not the API's, answer at the root only. */
export function rejectApiPrefix(scope: FastifyInstance): void {
  scope.addHook('onRequest', async ({ originalUrl }) => {
    if (hasApiPrefix(originalUrl)) throw new ApiError('NOT_FOUND');
  });
}

/** Returns the path the OpenAPI document shows for a route. */
export function toDocumentedPath(url: string, { config }: Pick<RouteOptions, 'config'>): string {
  return config?.isApi ? `${API_PREFIX}${url}` : url;
}

/** Returns the pattern of a route as it was called, with the prefix or without. */
export function toCalledPath(pattern: string, originalUrl: string): string {
  return hasApiPrefix(originalUrl) ? `${API_PREFIX}${pattern}` : pattern;
}
