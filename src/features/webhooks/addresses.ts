import { lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { ApiError } from '../../platform/errors.js';

/** The code of an address that webhooks must not reach. */
export const ADDRESS_NOT_ALLOWED = 'ADDRESS_NOT_ALLOWED';

/** Tells whether an address is on the public internet: not of this machine, its networks, or a tunnel into them. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  // Of IPv6, only what is given to anybody (2000::/3).
  return parsed instanceof ipaddr.IPv4 || parsed.match(ipaddr.IPv6.parseCIDR('2000::/3'));
}

class NotAllowed extends Error {
  readonly code = ADDRESS_NOT_ALLOWED;
}

/**
 * Resolves a name like the system does, and fails where any of its addresses is not public. As connecting uses what
 * this returns, a name cannot lead elsewhere between the check and the connection.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const [first] = addresses ?? [];
    if (error !== null || first === undefined) return callback(error, '', 0);
    if (!addresses.every(({ address }) => isPublicAddress(address))) return callback(new NotAllowed(), '', 0);
    if (options.all === true) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};

/** Names an address in a URL the way sockets do, without brackets. */
const toHost = ({ hostname }: URL) => hostname.replace(/^\[|\]$/g, '');

/** Tells whether a URL names an address, instead of a name, that webhooks must not reach: no name is resolved for it. */
export function namesPrivateAddress(url: URL): boolean {
  const host = toHost(url);
  return isIP(host) !== 0 && !isPublicAddress(host);
}

/**
 * Parses where webhooks may be sent: https to the public internet; anything on HTTP where private addresses are allowed.
 * @throws {ApiError} WEBHOOK_URL_NOT_ALLOWED
 */
export function parseWebhookUrl(text: string, allowsPrivate: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isAllowed =
    url !== undefined &&
    url.username === '' &&
    url.password === '' &&
    (allowsPrivate
      ? ['http:', 'https:'].includes(url.protocol)
      : url.protocol === 'https:' && !namesPrivateAddress(url) && !/(^|\.)localhost\.?$/.test(url.hostname));
  if (!isAllowed) throw new ApiError('WEBHOOK_URL_NOT_ALLOWED');
  url.hash = '';
  return url.href;
}
