/** Formats what the first start tells, once: the only time the generated password is shown. */
export function adminNotice(username: string, password: string): string {
  return `\nAdmin login, shown only this once:\n  username: ${username}\n  password: ${password}\n`;
}

/** Returns what to look into about proxies, where their clients may all seem to have one address; or undefined. */
export function proxyNotice({ host, trustProxy }: { host: string; trustProxy: string }): string | undefined {
  const isLocal = ['127.0.0.1', '::1', 'localhost'].includes(host);
  if (isLocal || trustProxy !== 'loopback') return undefined;
  return 'Behind a proxy that is not on this machine (for a container, every proxy), set TRUST_PROXY: see docs/deploy.md';
}

/** Formats where the server is, and a command to try it with. @param notices what to look into, a sentence each */
export function welcome(address: string, notices: readonly string[] = []): string {
  const url = address.replace(/\/+$/, '');
  return `
Tokenledger is ready at ${url}
  In a browser: ${url}/
  Docs: ${url}/docs
${notices.map((notice) => `  ${notice}\n`).join('')}
Try it:
  curl -X POST ${url}/api/devices/register -H 'content-type: application/json' -d '{"device_name":"My Laptop","hardware_fingerprint":"try-me"}'

`;
}
