import { parseList } from './list.js';

/**
 * Schemes whose origins a browser chooses by itself, another for each installation of an extension in Firefox: only
 * for them `*` may stand for the rest.
 */
const EXTENSION_PATTERN = /^(moz-extension|chrome-extension|safari-web-extension):\/\/\*$/;
/** An origin as browsers write it: scheme, host and port, no path and no slash at the end; or `null`. */
const ORIGIN = /^(null|[a-z][a-z0-9+.-]*:\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?)$/;

/** Returns whether `CORS_ORIGINS` is `*`, or lists origins as {@link parseCorsOrigins} takes them. */
export function isCorsOriginList(setting: string): boolean {
  return setting === '*' || parseList(setting).every((entry) => ORIGIN.test(entry) || EXTENSION_PATTERN.test(entry));
}

/** Parses `CORS_ORIGINS`: `*` for all, or origins, and patterns for all extensions of a kind of browser. */
export function parseCorsOrigins(setting: string): '*' | (string | RegExp)[] {
  if (setting === '*') return '*';
  return parseList(setting).map((entry) => {
    const [, scheme] = EXTENSION_PATTERN.exec(entry) ?? [];
    return scheme === undefined ? entry : new RegExp(`^${scheme}://[a-zA-Z0-9.-]+$`);
  });
}
