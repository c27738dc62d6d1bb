import { isObject } from './json.js';

/** Keywords whose values are data and no schemas. */
const DATA = ['const', 'default', 'enum', 'examples'];

/**
 * Returns a request's schema as clients see it: what has a default need not be sent. The validator fills defaults in first,
 * so the schema it checks requires them.
 */
export function toRequestSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(toRequestSchema);
  if (!isObject(schema)) return schema;
  const entries = Object.entries(schema).map(([key, value]) => [
    key,
    DATA.includes(key) ? value : toRequestSchema(value),
  ]);
  const { properties, required } = schema;
  if (!isObject(properties) || !Array.isArray(required)) return Object.fromEntries(entries);
  const hasDefault = (name: string) => isObject(properties[name]) && 'default' in properties[name];
  return { ...Object.fromEntries(entries), required: required.filter((name) => !hasDefault(name)) };
}

/** Returns a body's schema as clients see it whose unknown members are ignored: no object of it is closed. */
export function toOpenSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(toOpenSchema);
  if (!isObject(schema)) return schema;
  const isClosed = isObject(schema['properties']) && schema['additionalProperties'] === false;
  const entries = Object.entries(schema)
    .filter(([key]) => !(isClosed && key === 'additionalProperties'))
    .map(([key, value]) => [key, DATA.includes(key) ? value : toOpenSchema(value)]);
  return Object.fromEntries(entries);
}
