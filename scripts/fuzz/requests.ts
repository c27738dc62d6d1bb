import fc from 'fast-check';
import { findHints } from './hints.js';
import type { Operation } from './operations.js';
import { PARTIES, type Party } from './parties.js';
import { stripeEvents } from './stripe-events.js';
import { fieldOf, type Making, valuesOf } from './values.js';

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

/** Returns those who may call a route. */
function entitledTo({ security = [] }: Operation): fc.Arbitrary<Party> {
  const schemes = security.flatMap((way) => Object.keys(way));
  const entitled = schemes.flatMap((scheme) => OWNERS[scheme] ?? []);
  return fc.constantFrom<Party>(...(entitled.length > 0 ? entitled : (['nobody'] as const)));
}

/** Returns who calls a route: most often those who may. */
function partyOf(operation: Operation): fc.Arbitrary<Party> {
  return fc.oneof(
    { arbitrary: entitledTo(operation), weight: 4 },
    { arbitrary: fc.constantFrom(...PARTIES), weight: 1 },
  );
}

/** The operation whose body the document does not describe, as it is Stripe's, and signed by it. */
export const SIGNED_BY_STRIPE = 'receiveStripeEvent';

/** Returns what may fill the parameters of a route in one place. */
function parametersOf(operation: Operation, place: string, making: Making): Record<string, fc.Arbitrary<unknown>> {
  const here = (operation.parameters ?? []).filter((parameter) => parameter.in === place);
  const wanted = here.filter(({ name, required }) => required === true || making.hints?.(name)?.length !== 0);
  return Object.fromEntries(wanted.map(({ name, schema }) => [name, fieldOf(name, schema, making)]));
}

/** Returns the parts of requests of a route. @param party who sends it */
function partsOf(operation: Operation, party: fc.Arbitrary<Party>, making: Making) {
  const schema = operation.requestBody?.content['application/json']?.schema;
  const plain = schema === undefined ? fc.constant(undefined) : valuesOf(schema, making);
  const query = parametersOf(operation, 'query', making);
  const required = (operation.parameters ?? []).flatMap((one) =>
    one.in === 'query' && one.required ? [one.name] : [],
  );
  const requiredKeys = making.hints === undefined ? [] : required;
  return fc.record({
    party,
    path: fc.record(parametersOf(operation, 'path', making)),
    query: fc.record(query, { requiredKeys }),
    body: operation.operationId === SIGNED_BY_STRIPE ? stripeEvents : plain,
    key: fc.option(fc.constantFrom('a-key', 'another-key'), {
      nil: undefined,
      freq: making.hints === undefined ? 3 : 1_000,
    }),
  });
}

/** Returns requests of a route: some by those who may and as they should be, most by everybody and nearly so. */
export function requestOf(operation: Operation, ids: readonly string[]): fc.Arbitrary<MadeUp> {
  const right = partsOf(operation, entitledTo(operation), { ids, hints: findHints(operation) });
  const nearly = partsOf(operation, partyOf(operation), { ids });
  return fc
    .oneof({ arbitrary: right, weight: 2 }, { arbitrary: nearly, weight: 3 })
    .map(({ party, path, query, body, key }) => {
      const given = new Map(Object.entries(path));
      // An empty part of a path is another path.
      const filled = [...given].reduce(
        (url, [name, value]) => url.replace(`{${name}}`, encode(value) || '-'),
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
