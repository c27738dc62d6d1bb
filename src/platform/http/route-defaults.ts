import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify';
import { ErrorSchema } from './error-schema.js';

/** OpenAPI fields shared by the routes of a scope. */
export interface RouteDefaults {
  readonly tags?: readonly string[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
}

/** Methods whose requests have no body. */
const BODILESS = ['GET', 'HEAD'];

/** Returns the error statuses any route of its kind can answer with. */
function standardErrors({ method }: RouteOptions, schema: FastifySchema): number[] {
  const readsBody = ![method].flat().every((name) => BODILESS.includes(name));
  const isValidated = [schema.body, schema.querystring, schema.params, schema.headers].some(
    (part) => part !== undefined,
  );
  return [
    ...(isValidated || readsBody ? [400] : []),
    ...(schema.security?.length ? [401] : []),
    // A token that is good and yet not enough: a key without the scope, a suspended account, an admin of a lesser role.
    ...(schema.security?.some((way) => 'userToken' in way || 'adminToken' in way) ? [403] : []),
    ...(readsBody ? [413, 415] : []),
    429,
    500,
    503,
  ];
}

/** Completes a schema with a scope's defaults; what the route says itself wins. */
function complete(route: RouteOptions, defaults: RouteDefaults): FastifySchema {
  const tags = route.schema?.tags ?? defaults.tags;
  const security = route.schema?.security ?? defaults.security;
  const schema: FastifySchema = {
    ...route.schema,
    ...(tags !== undefined && { tags }),
    ...(security !== undefined && { security }),
  };
  const errors = Object.fromEntries(standardErrors(route, schema).map((status) => [status, ErrorSchema]));
  return { ...schema, response: { ...errors, ...Object(schema.response) } };
}

/**
 * Documents every route registered in a scope after this call, and in the scopes below it: its tags, its security and
 * the errors any route of its kind answers with (400 and 413 to 415 where it reads input, 401 and 403 behind a guard, 429, 500
 * and 503). What the route itself or an outer scope says stays.
 */
export function describeRoutes(scope: FastifyInstance, defaults: RouteDefaults): void {
  scope.addHook('onRoute', (route) => {
    if (route.schema?.hide !== true) route.schema = complete(route, defaults);
  });
}
