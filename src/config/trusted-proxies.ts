import { isIP } from 'node:net';
import { compile } from '@fastify/proxy-addr';

const NAMES = ['loopback', 'linklocal', 'uniquelocal'];

/** Parses `TRUST_PROXY` into what Fastify takes: yes, no, or addresses, ranges and names such as `loopback`. */
export function parseTrustedProxies(setting: string): boolean | string[] {
  if (setting === 'true' || setting === 'false') return setting === 'true';
  return setting.split(',').map((entry) => entry.trim());
}

/** Returns whether a setting names proxies in a way {@link parseTrustedProxies} and Fastify understand. */
export function namesProxies(setting: string): boolean {
  const proxies = parseTrustedProxies(setting);
  return typeof proxies === 'boolean' || proxies.every(isProxy);
}

function isProxy(entry: string): boolean {
  // Fastify also takes `1` for an address, but whoever writes it means a number of hops.
  const [address = ''] = entry.split('/');
  if (!NAMES.includes(entry) && isIP(address) === 0) return false;
  try {
    compile(entry);
    return true;
  } catch {
    return false;
  }
}
