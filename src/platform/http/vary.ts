import type { FastifyReply } from 'fastify';

/** Tells caches that the answer depends on a request header, beside those it is known to depend on (RFC 9110, 12.5.5). */
export function varyBy(reply: FastifyReply, header: string): void {
  reply.header('vary', [reply.getHeader('vary') ?? [], header].flat().join(', '));
}
