import type { FastifyCorsOptions } from '@fastify/cors';

/**
 * Lets browsers call from the configured origins: `*`, or a list separated by commas. Never with cookies, as every
 * credential is a bearer token.
 */
export function corsOptions(origins: string): FastifyCorsOptions {
  return {
    origin: origins === '*' ? '*' : origins.split(',').map((origin) => origin.trim()),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    // The date tells devices how wrong their clock is, which decides whose settings win.
    exposedHeaders: ['x-request-id', 'retry-after', 'etag', 'date', 'x-tokens-remaining', 'x-tokens-used'],
  };
}
