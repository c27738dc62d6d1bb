/** Scheme, host, port, path and query in plain characters: no user info, no backslash, no fragment, nothing invisible. */
const PLAIN_ADDRESS =
  /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.:[\]_-]+(\/[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]*)?(\?[\x21\x22\x24-\x5b\x5d-\x7e]*)?$/i;
/** Ways to write another path than the one that is read: `..`, empty parts, and dots, slashes or percents in disguise. */
const DEVIOUS_PATH = /\.\.|\/\/|%(25|2e|2f|5c|00)/i;

function parseAddress(text: string): URL | undefined {
  const parts = PLAIN_ADDRESS.exec(text);
  if (parts === null || DEVIOUS_PATH.test(parts[1] ?? '') || !URL.canParse(text)) return undefined;
  return new URL(text);
}

interface Entry {
  readonly address: URL;
  readonly includesBelow: boolean;
}

function parseEntries(setting: string): readonly (Entry | undefined)[] {
  return setting.split(',').map((part) => {
    const text = part.trim();
    const address = parseAddress(text);
    return address && { address, includesBelow: text.endsWith('/') && address.search === '' };
  });
}

/** Returns whether an app on the person's own machine is meant, which listens on whatever port is free (RFC 8252, §7.3). */
function isLoopback({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && (hostname === '127.0.0.1' || hostname === '[::1]');
}

/** Matches what VS Code's `asExternalUri` appends, so that the answer reaches the window that asked; written either way. */
const EDITOR_WINDOW = /^\?windowId(=|%3D)(_blank|[0-9]{1,10})$/i;

/** Returns the query that must be the one on the list: an app's own address may name the window to return to besides. */
function toOwnQuery({ protocol, search }: URL): string {
  const isWeb = protocol === 'https:' || protocol === 'http:';
  return !isWeb && EDITOR_WINDOW.test(search) ? '' : search;
}

function allows(entry: Entry, asked: URL): boolean {
  const { address, includesBelow } = entry;
  const isSameHost = isLoopback(address) ? address.hostname === asked.hostname : address.host === asked.host;
  const isSamePath = includesBelow ? asked.pathname.startsWith(address.pathname) : asked.pathname === address.pathname;
  const isSameQuery = address.search === asked.search || address.search === toOwnQuery(asked);
  return address.protocol === asked.protocol && isSameHost && isSamePath && isSameQuery;
}

/** Returns whether `OAUTH_REDIRECT_URIS` lists nothing but addresses {@link createRedirectCheck} can compare with. */
export function isRedirectList(setting: string): boolean {
  return parseEntries(setting).every((entry) => entry !== undefined);
}

/** Returns whether a sign-in may end at an address. */
export type RedirectCheck = (address: string) => boolean;

const allowNone: RedirectCheck = () => false;

/**
 * Creates the check of where a sign-in may end: addresses on the list, compared as parsed URLs. An entry that ends
 * in `/` allows every path below it, any other only itself.
 *
 * @param setting `OAUTH_REDIRECT_URIS`; without it nothing is allowed
 */
export function createRedirectCheck(setting: string | undefined): RedirectCheck {
  if (setting === undefined) return allowNone;
  const entries = parseEntries(setting).filter((entry) => entry !== undefined);
  return (text) => {
    const asked = parseAddress(text);
    return asked !== undefined && entries.some((entry) => allows(entry, asked));
  };
}
