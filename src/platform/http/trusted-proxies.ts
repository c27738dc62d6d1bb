import { isIP } from 'node:net';

const NAMES = ['loopback', 'linklocal', 'uniquelocal'];

/** `TRUST_PROXY` as Fastify takes it: yes, no, or addresses, ranges and names such as `loopback`. */
export function trustedProxies(setting: string): boolean | string[] {
  if (setting === 'true' || setting === 'false') return setting === 'true';
  return entriesOf(setting);
}

/** Whether a setting names proxies in a way {@link trustedProxies} understands. */
export function namesProxies(setting: string): boolean {
  return setting === 'true' || setting === 'false' || entriesOf(setting).every(isProxy);
}

function entriesOf(setting: string): string[] {
  return setting.split(',').map((entry) => entry.trim());
}

function isProxy(entry: string): boolean {
  const [address = '', bits = '0'] = entry.split('/');
  const version = isIP(address);
  return (
    NAMES.includes(entry) || (version > 0 && /^[0-9]{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
  );
}
