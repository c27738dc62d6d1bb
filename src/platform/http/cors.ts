import type { FastifyCorsOptions } from '@fastify/cors';
import { parseCorsOrigins } from '../../config/cors-origins.js';

/** How long a browser remembers what it may send, in seconds: Chromium takes no more than two hours. */
const MAX_AGE_SECONDS = 7_200;

/**
 * Returns the options that let browsers call from the configured origins: `*`, or a list separated by commas. Cookies
 * are never allowed, as every credential is a bearer token.
 */
export function corsOptions(origins: string): FastifyCorsOptions {
  return {
    origin: parseCorsOrigins(origins),
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    maxAge: MAX_AGE_SECONDS,
    // An OPTIONS request that is no preflight gets the same answer, as there is nothing wrong with it.
    strictPreflight: false,
    // Devices read `date` to correct their clock, as the latest change of a setting wins.
    // As one text: a list would be put together for each answer.
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
      'x-read-lag-ms',
      'x-should-retry',
    ].join(', '),
  };
}
