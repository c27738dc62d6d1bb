import type { FastifyReply } from 'fastify';
import type { Policy } from './policies.js';

/** How much of a quota is used. */
export interface QuotaState {
  readonly policy: Policy;
  readonly limit: number;
  readonly used: number;
  readonly resetsInMs: number;
  readonly isExceeded: boolean;
}

function append(reply: FastifyReply, name: string, items: readonly string[]): void {
  const earlier = reply.getHeader(name);
  const added = items.join(', ');
  reply.header(name, typeof earlier === 'string' ? `${earlier}, ${added}` : added);
}

/**
 * Tells the answer's reader about quotas, besides those it tells of already: the headers `RateLimit-Policy` and
 * `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, each a list of quoted names with parameters.
 */
export function appendRateLimit(reply: FastifyReply, states: readonly QuotaState[]): void {
  const policies = states.map(({ policy: { name, windowSeconds, unit }, limit }) => {
    const quota = `"${name}";q=${limit};w=${windowSeconds}`;
    return unit === undefined ? quota : `${quota};qu="${unit}"`;
  });
  const left = states.map(({ policy: { name }, limit, used, resetsInMs }) => {
    return `"${name}";r=${Math.max(0, limit - used)};t=${Math.ceil(resetsInMs / 1_000)}`;
  });
  append(reply, 'ratelimit-policy', policies);
  append(reply, 'ratelimit', left);
}
