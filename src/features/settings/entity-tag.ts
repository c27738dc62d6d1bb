/** Also in the weak form: proxies that compress an answer weaken its tag. */
const TAG = /^(?:W\/)?"(0|[1-9][0-9]{0,15})"$/;

/** The entity tag of a version, as `ETag` and `If-Match` spell it. */
export function entityTagOf(version: number): string {
  return `"${version}"`;
}

function versionsOf(ifMatch: string): number[] {
  return ifMatch.split(',').flatMap((tag) => {
    const version = TAG.exec(tag.trim())?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/**
 * The versions a write may replace, as both its header and its body allow them.
 *
 * @param ifMatch the header `If-Match`: tags of this server, anything else matches nothing; `*` is any version
 * @param version what the body says
 * @returns undefined for any version; an empty list for none
 */
export function replaceableVersions(ifMatch: string | undefined, version: number | undefined): number[] | undefined {
  const listed = ifMatch === undefined || ifMatch.trim() === '*' ? undefined : versionsOf(ifMatch);
  if (version === undefined) return listed;
  return listed === undefined || listed.includes(version) ? [version] : [];
}
