/** Formats what the first start tells, once: the only time the generated password is shown. */
export function adminNotice(username: string, password: string): string {
  return `\nAdmin login, shown only this once:\n  username: ${username}\n  password: ${password}\n`;
}

/** Formats where the server is, and a command to try it with. */
export function welcome(address: string): string {
  const url = address.replace(/\/+$/, '');
  return `
Tokenledger is ready at ${url}
  Docs: ${url}/docs

Try it:
  curl -X POST ${url}/api/devices/register -H 'content-type: application/json' -d '{"device_name":"My Laptop","hardware_fingerprint":"try-me"}'

`;
}
