import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../errors.js';
import { hasApiPrefix } from './api-prefix.js';

const FIND_METHODS = 'findAllowedMethods';

/** Returns the methods a path can be called with. */
type FindMethods = (request: FastifyRequest) => string[];

/** Returns what matches the paths of a route's pattern: a parameter is one part of it, a star is all the rest. */
function toMatcher(pattern: string): RegExp {
  const literal = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replace(/:[^/]+/g, '[^/]+').replaceAll('*', '.*')}$`);
}

const allowedMethods: FastifyPluginAsync = async (app) => {
  const routes: { readonly route: RouteOptions; readonly matcher: RegExp }[] = [];
  app.addHook('onRoute', (route) => {
    // What matches everything, as preflights do, is no path of its own.
    if (!['*', '/*'].includes(route.url)) routes.push({ route, matcher: toMatcher(route.url) });
  });
  app.decorate(FIND_METHODS, ({ url, originalUrl }: FastifyRequest) => {
    const [path = ''] = url.split('?');
    const methods = routes
      .filter(({ route, matcher }) => matcher.test(path) && (route.config?.isApi || !hasApiPrefix(originalUrl)))
      .flatMap(({ route }) => route.method);
    return [...new Set(methods)].sort();
  });
};

/** Remembers which methods each path takes, for requests with another. It must be registered before the routes. */
export default fp(allowedMethods, { name: 'allowed-methods' });

/** Returns why a request found no route: there is no such path, or not with its method; the answer is told which it takes. */
export function createNoRouteError(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): ApiError {
  const methods = app.getDecorator<FindMethods>(FIND_METHODS)(request);
  // A path that takes the method: what the route looked for, such as a file, is not there.
  if (methods.length === 0 || methods.includes(request.method)) return new ApiError('NOT_FOUND');
  reply.header('allow', methods.join(', '));
  return new ApiError('METHOD_NOT_ALLOWED');
}
