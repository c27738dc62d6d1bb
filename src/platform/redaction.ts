/** Names whose values are credentials, in headers and in bodies alike. */
export const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'idempotency-key',
  'password',
  'token',
  'device_token',
  'device_secret',
  'x-device-token',
  'access_token',
  'refresh_token',
  'sessionToken',
  'enrollment_key',
  'hardware_fingerprint',
  'secret',
  'totp',
  'challenge',
  'recovery_codes',
]);
/** Stands in for what is not logged. */
export const CENSORED = '[redacted]';
/** How deep objects are looked into; nobody logs deeper ones. */
const DEPTH = 5;

/** Tells whether a value has members that are written by their names. */
function hasMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
}

/**
 * Replaces credentials wherever they may turn up in a logged object. What holds none is returned as it is, so that most
 * lines cost a look at their few names.
 *
 * @param depth how deep to look
 */
export function redact(logged: Record<string, unknown>, depth = DEPTH): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const name of Object.keys(logged)) {
    const value = logged[name];
    const replaced = replace(name, value, depth);
    if (replaced === value) continue;
    copy ??= { ...logged };
    copy[name] = replaced;
  }
  return copy ?? logged;
}

function replace(name: string, value: unknown, depth: number): unknown {
  if (CREDENTIALS.has(name)) return CENSORED;
  if (depth === 0 || !hasMembers(value)) return value;
  if (!Array.isArray(value)) return redact(value, depth - 1);
  const members = value.map((member: unknown) => replace('', member, depth - 1));
  return members.some((member, position) => member !== value[position]) ? members : value;
}
