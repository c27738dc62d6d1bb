import { compile } from '@fastify/proxy-addr';
import type { FastifyBaseLogger, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { parseTrustedProxies } from '../../config/trusted-proxies.js';
import type { Subject } from './policies.js';

/** Looks out for addresses that are not those of clients: limits by address would then hit the wrong ones, or nobody. */
export interface AddressWatch {
  /** Looks at a request as it came. */
  readonly noteRequest: (request: FastifyRequest) => void;
  /** Looks at who sent a request, once that is known. */
  readonly noteSubjects: (request: FastifyRequest, subjects: readonly Subject[]) => void;
}

/** From how many devices and accounts on an address is more likely a proxy than an office. */
const MANY_SUBJECTS = 50;
/** In what time they are counted. */
const SUBJECTS_KEPT_MS = 10 * 60_000;
const MAX_ADDRESSES = 1_000;
/** How often one kind of warning is repeated: whoever connects could cause them. */
const REPEAT_MS = 60 * 60_000;
/** Headers that only proxies set; HTTP/1.0 is what nginx speaks unless it is told otherwise. */
const PROXY_HEADERS = ['via', 'forwarded', 'x-real-ip', 'x-forwarded-proto', 'x-forwarded-host'];

/** Returns the function that tells whether an address is one of the proxies of `TRUST_PROXY`. */
function createTrust(setting: string): (address: string) => boolean {
  const proxies = parseTrustedProxies(setting);
  if (typeof proxies === 'boolean') return () => proxies;
  const isTrusted = compile(proxies);
  return (address) => isTrusted(address, 0);
}

/** Creates the watch. @param trustProxy `TRUST_PROXY` */
export function createAddressWatch(trustProxy: string, log: FastifyBaseLogger): AddressWatch {
  const isTrusted = createTrust(trustProxy);
  const warned = new LRUCache<string, true>({ max: 10, ttl: REPEAT_MS });
  const subjectsOf = new LRUCache<string, Set<string>>({ max: MAX_ADDRESSES, ttl: SUBJECTS_KEPT_MS });

  const warnOnce = (kind: string, sentence: string) => {
    if (warned.has(kind)) return;
    warned.set(kind, true);
    log.warn(sentence);
  };

  return {
    noteRequest: ({ headers, raw, socket: { remoteAddress = '' } }) => {
      if (headers['x-forwarded-for'] !== undefined) {
        // Whoever trusts none has no proxy, and clients may send what they like.
        if (trustProxy === 'false' || isTrusted(remoteAddress)) return;
        const problem = `X-Forwarded-For from ${remoteAddress} is not believed, so that all its clients count as one address.`;
        const advice = `If that is your proxy, and no client, set TRUST_PROXY=${remoteAddress}, see docs/deploy.md`;
        warnOnce('untrusted', `${problem} ${advice}`);
        return;
      }
      const isProxied = raw.httpVersion === '1.0' || PROXY_HEADERS.some((name) => headers[name] !== undefined);
      if (!isProxied || !isTrusted(remoteAddress)) return;
      const problem = `The proxy at ${remoteAddress} is trusted and sets no X-Forwarded-For, so that its clients choose theirs.`;
      warnOnce('silent', `${problem} Have it set that header to the client's address, see docs/deploy.md`);
    },
    noteSubjects: ({ ip }, subjects) => {
      const known = subjectsOf.get(ip) ?? new Set();
      if (known.size === 0) subjectsOf.set(ip, known);
      if (known.size >= MANY_SUBJECTS) return;
      for (const { kind, id } of subjects) if (kind === 'device' || kind === 'user') known.add(`${kind}:${id}`);
      if (known.size < MANY_SUBJECTS) return;
      const problem = `${known.size} devices and accounts share the address ${ip}.`;
      const advice = 'If that is a proxy, have it set X-Forwarded-For and name it in TRUST_PROXY, see docs/deploy.md';
      warnOnce('shared', `${problem} ${advice}`);
    },
  };
}
