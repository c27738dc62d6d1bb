import fc from 'fast-check';
import type { Operation } from './operations.js';
import { PARTIES, type Party } from './parties.js';
import { valuesOf } from './values.js';

/** A request that was made up. */
export interface MadeUp {
  /** Who sends it: a name of the parties' tokens. */
  readonly party: Party;
  readonly path: string;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

const toText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
/** Lone surrogates cannot stand in a URL. */
const encode = (value: unknown) => encodeURIComponent(toText(value).toWellFormed());

/** Whose token each security scheme of the document is. */
const OWNERS: Readonly<Record<string, Party>> = {
  deviceToken: 'device',
  userToken: 'user',
  apiKey: 'api key',
  trackerToken: 'tracker',
  adminToken: 'admin',
};

/** Returns who calls a route: most often those who may. */
function partyOf({ security = [] }: Operation): fc.Arbitrary<Party> {
  const schemes = security.flatMap((way) => Object.keys(way));
  const entitled = schemes.flatMap((scheme) => OWNERS[scheme] ?? []);
  const likely = entitled.length > 0 ? entitled : PARTIES;
  return fc.oneof(
    { arbitrary: fc.constantFrom(...likely), weight: 4 },
    { arbitrary: fc.constantFrom(...PARTIES), weight: 1 },
  );
}

/** Returns requests of a route: by everybody, most of them nearly right. */
export function requestOf(operation: Operation, ids: readonly string[]): fc.Arbitrary<MadeUp> {
  const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
  const inQuery = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
  const schema = operation.requestBody?.content['application/json']?.schema;
  return fc
    .record({
      party: partyOf(operation),
      path: fc.record(Object.fromEntries(inPath.map(({ name, schema }) => [name, valuesOf(schema, ids)]))),
      query: fc.record(Object.fromEntries(inQuery.map(({ name, schema }) => [name, valuesOf(schema, ids)])), {
        requiredKeys: [],
      }),
      body: schema === undefined ? fc.constant(undefined) : valuesOf(schema, ids),
      key: fc.option(fc.constantFrom('a-key', 'another-key'), { nil: undefined, freq: 3 }),
    })
    .map(({ party, path, query, body, key }) => {
      // An empty part of a path is another path.
      const filled = inPath.reduce(
        (url, { name }) => url.replace(`{${name}}`, encode(path[name]) || '-'),
        operation.path,
      );
      const search = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
      return {
        party,
        path: search.length > 0 ? `${filled}?${search.join('&')}` : filled,
        body: body === undefined ? undefined : JSON.stringify(body),
        headers: key === undefined ? {} : { 'idempotency-key': key },
      };
    });
}
