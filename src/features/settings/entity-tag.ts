/** Matches the weak form too: proxies that compress an answer weaken its tag. */
const TAG = /^(?:W\/)?"(0|[1-9][0-9]{0,15})"$/;

/** Returns the entity tag of a version, as `ETag` and `If-Match` spell it. */
export function toEntityTag(version: number): string {
  return `"${version}"`;
}

/** Parses the versions an `If-Match` header lists; tags this server did not give out are left out. */
function parseVersions(ifMatch: string): number[] {
  return ifMatch.split(',').flatMap((tag) => {
    const version = TAG.exec(tag.trim())?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/**
 * Returns the versions a write may replace, as its header and its body together allow them.
 *
 * @param ifMatch the header `If-Match`: tags of this server, anything else matches nothing; `*` is any version
 * @param version the version the body names
 * @returns undefined for any version; an empty list for none
 */
export function toReplaceableVersions(ifMatch: string | undefined, version: number | undefined): number[] | undefined {
  const listed = ifMatch === undefined || ifMatch.trim() === '*' ? undefined : parseVersions(ifMatch);
  if (version === undefined) return listed;
  return listed === undefined || listed.includes(version) ? [version] : [];
}
