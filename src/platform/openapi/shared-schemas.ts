import { isDeepStrictEqual } from 'node:util';
import { isObject } from './json.js';

/** Keywords whose values are data and no schemas. */
const DATA = ['example', 'examples', 'default', 'const', 'enum'];

/** Replaces what has a title, at any depth, and returns what stands in its place. */
function share(value: unknown, shared: Map<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => share(item, shared));
  if (!isObject(value)) return value;
  const { title, ...rest } = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, DATA.includes(key) ? member : share(member, shared)]),
  );
  if (typeof title !== 'string') return title === undefined ? rest : { title, ...rest };
  if (shared.has(title) && !isDeepStrictEqual(shared.get(title), rest)) {
    throw new Error(`two different schemas have the title ${title}`);
  }
  shared.set(title, rest);
  return { $ref: `#/components/schemas/${title}` };
}

/**
 * Moves the schemas that have a title to where a document keeps what it shares: the title is the name that generated
 * clients give the type.
 *
 * @returns the paths, which refer to them, and the schemas by name, in alphabetical order
 * @throws {Error} where two different schemas have the same title
 */
export function shareSchemas<Paths extends object>(paths: Paths): { paths: Paths; schemas: Record<string, object> } {
  const shared = new Map<string, unknown>();
  for (const [path, item] of Object.entries(paths)) Reflect.set(paths, path, share(item, shared));
  const sorted = [...shared].sort(([one], [other]) => (one < other ? -1 : 1));
  return { paths, schemas: Object.fromEntries(sorted.map(([name, schema]) => [name, Object(schema)])) };
}
