import type { FastifyInstance, RouteOptions } from 'fastify';

/** Serves the API below this prefix too, so that a client's base URL may end in it or not. */
const API_PREFIX = '/api';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True for routes of the API. */
    isApi?: boolean;
  }
}

/** Strips the API's prefix from a request's URL, so that every route is registered once and answers at both. */
export function stripApiPrefix(url: string): string {
  if (!url.startsWith(API_PREFIX)) return url;
  const rest = url.slice(API_PREFIX.length);
  if (rest === '' || rest.startsWith('?')) return `/${rest}`;
  return rest.startsWith('/') ? rest : url;
}

/** Has the OpenAPI document show the routes of a scope below the prefix. */
export function documentBelowApiPrefix(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    route.config = { ...route.config, isApi: true };
  });
}

/** Returns the path the OpenAPI document shows for a route. */
export function toDocumentedPath(url: string, { config }: Pick<RouteOptions, 'config'>): string {
  return config?.isApi ? `${API_PREFIX}${url}` : url;
}
