import type { FastifyCorsOptions } from '@fastify/cors';

/**
 * Returns the options that let browsers call from the configured origins: `*`, or a list separated by commas. Cookies
 * are never allowed, as every credential is a bearer token.
 */
export function corsOptions(origins: string): FastifyCorsOptions {
  return {
    origin: origins === '*' ? '*' : origins.split(',').map((origin) => origin.trim()),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    // Devices read `date` to correct their clock, as the latest change of a setting wins.
    exposedHeaders: [
      'x-request-id',
      'request-id',
      'retry-after',
      'etag',
      'date',
      'x-device-token',
      'ratelimit',
      'ratelimit-policy',
      'x-tokens-remaining',
      'x-tokens-used',
      'x-should-retry',
    ],
  };
}
