/** `TRUST_PROXY` as Fastify takes it: yes, no, or addresses, ranges and names such as `loopback`. */
export function trustedProxies(setting: string): boolean | string[] {
  if (setting === 'true' || setting === 'false') return setting === 'true';
  return setting.split(',').map((entry) => entry.trim());
}
