const HOST = /(^|\.)openrouter\.ai$/;
const THIS_MACHINE = ['127.0.0.1', '[::1]', 'localhost'];

/**
 * Returns whether an upstream takes the fields that only OpenRouter has; others may refuse a request with them. That is
 * OpenRouter by its host, or a stand-in on this machine by OpenRouter's path.
 */
export function isOpenRouter(baseUrl: string): boolean {
  const { hostname, pathname } = new URL(baseUrl);
  return HOST.test(hostname) || (THIS_MACHINE.includes(hostname) && pathname === '/api/v1');
}
