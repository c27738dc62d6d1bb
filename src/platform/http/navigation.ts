import type { FastifyRequest } from 'fastify';

/** Tells whether a person's browser goes to an address, and so expects a page: programs do not ask for HTML. */
export function isNavigation({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  return headers.accept?.toLowerCase().includes('text/html') ?? false;
}
