import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';

/**
 * Returns what limits per address count by: an IPv4 address, or the /64 network of an IPv6 address, as one subscriber holds
 * all of it.
 */
export function toRateLimitKey(request: FastifyRequest): string {
  // Behind a proxy it may be anything that stood in a header.
  if (!ipaddr.isValid(request.ip)) return request.ip;
  const address = ipaddr.process(request.ip);
  if (!(address instanceof ipaddr.IPv6)) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}
