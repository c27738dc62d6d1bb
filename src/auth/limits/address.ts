import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';

/** Bits of an address that name the network somebody can choose addresses from: a subscriber's, or a small provider's. */
const IPV4_NETWORK_BITS = 24;

/** What addresses are counted by, of those that were seen lately. */
const keys = new LRUCache<string, string>({ max: 10_000 });

/**
 * Returns what limits per address count by: an IPv4 address, or the /64 network of an IPv6 address, as one subscriber holds
 * all of it.
 */
export function toRateLimitKey({ ip }: Pick<FastifyRequest, 'ip'>): string {
  const known = keys.get(ip);
  if (known !== undefined) return known;
  const key = parseAddress(ip);
  keys.set(ip, key);
  return key;
}

function parseAddress(ip: string): string {
  // Behind a proxy it may be anything that stood in a header.
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip);
  if (!(address instanceof ipaddr.IPv6)) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}

/** Returns the network whose requests take turns with those of others: the /24 of an IPv4 address, the /64 of an IPv6 one. */
export function toNetwork(request: Pick<FastifyRequest, 'ip'>): string {
  const key = toRateLimitKey(request);
  if (!ipaddr.IPv4.isValid(key)) return key;
  return `${ipaddr.IPv4.networkAddressFromCIDR(`${key}/${IPV4_NETWORK_BITS}`)}/${IPV4_NETWORK_BITS}`;
}
