import type { FastifySchema } from 'fastify';

/** The headers of answers that clients have a use for, by the names the document shows. */
export const HEADERS = {
  'x-request-id': { schema: { type: 'string' }, description: 'Names the request, here and in the log of the server.' },
  RateLimit: {
    schema: { type: 'string' },
    description: 'What is left of each limit, and the seconds until it is full again: "device";r=599;t=1.',
  },
  'RateLimit-Policy': {
    schema: { type: 'string' },
    description: 'The limits the request counts against: "device";q=600;w=60.',
  },
  'Retry-After': { schema: { type: 'integer' }, description: 'Seconds to wait before the next attempt.' },
  'WWW-Authenticate': { schema: { type: 'string' }, description: 'The kind of credential: Bearer.' },
  Location: { schema: { type: 'string' }, description: 'Where the browser goes on.' },
  ETag: { schema: { type: 'string' }, description: 'The version of the settings, to be sent as If-Match.' },
  'x-device-token': {
    schema: { type: 'string' },
    description: 'A newer token of the device, to be used from now on; sent when the one in use is about to expire.',
  },
  'x-tokens-remaining': {
    schema: { type: 'integer' },
    description: 'Tokens left; while an answer is streamed, not counting those held for it.',
  },
  'x-read-lag-ms': {
    schema: { type: 'integer' },
    description: 'Milliseconds by which the answer may be older than the request, where a read replica is set up.',
  },
  'x-tokens-used': { schema: { type: 'integer' }, description: 'Tokens debited; not sent with streams.' },
} as const;

export type HeaderName = keyof typeof HEADERS;

declare module 'fastify' {
  interface FastifySchema {
    /** Whether the route takes an `Idempotency-Key`. */
    takesIdempotencyKey?: boolean;
    /** Headers of its successful answers, besides those that every route of its kind has. */
    responseHeaders?: readonly HeaderName[];
  }
}

const IDEMPOTENCY_KEY = {
  type: 'string',
  minLength: 1,
  maxLength: 255,
  pattern: '^[\\x21-\\x7e]+$',
  description: 'A text of your own for this request: sent again with it, it gets the same answer and is charged once.',
};

/** Returns the request headers a route takes, as a schema; undefined where it takes none of its own. */
export function toHeadersSchema({ headers, takesIdempotencyKey }: FastifySchema): unknown {
  if (takesIdempotencyKey !== true) return headers;
  const own: { properties?: object } = Object(headers);
  return { ...own, type: 'object', properties: { ...own.properties, 'Idempotency-Key': IDEMPOTENCY_KEY } };
}

/**
 * Returns the names of the headers of an answer.
 *
 * @param own those the route names itself
 * @param isDevice whether a device's token opens the route
 */
export function toHeaderNames(status: number, own: readonly string[], isDevice: boolean): string[] {
  const isSuccess = status < 300;
  return [
    'x-request-id',
    'RateLimit',
    'RateLimit-Policy',
    ...(isSuccess ? own : []),
    ...(isSuccess && isDevice ? ['x-device-token'] : []),
    ...(status === 302 ? ['Location'] : []),
    ...(status === 401 ? ['WWW-Authenticate'] : []),
    ...([429, 503].includes(status) ? ['Retry-After'] : []),
  ];
}
