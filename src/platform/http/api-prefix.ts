import type { FastifyInstance, RouteOptions } from 'fastify';
import { ApiError } from '../errors.js';

/** The prefix under which the API can be called besides the root, so that a client's base URL may end in it or not. */
const API_PREFIX = '/api';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for the routes of the API. */
    isApi?: boolean;
  }
}

/** Returns whether a URL is below the API's prefix. */
export function hasApiPrefix(url: string): boolean {
  return url.startsWith(API_PREFIX) && ['', '/', '?'].includes(url.charAt(API_PREFIX.length));
}

/** Strips the API's prefix from a request's URL, so that every route is registered once and answers at both. */
export function stripApiPrefix(url: string): string {
  if (!hasApiPrefix(url)) return url;
  const rest = url.slice(API_PREFIX.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
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
