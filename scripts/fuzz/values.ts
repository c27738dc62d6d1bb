import fc from 'fast-check';
import type { Hints } from './hints.js';
import type { JsonSchema } from './operations.js';

/** How values are made up. */
export interface Making {
  /** Ids that exist, one's own and others', to be used where an id is asked for. */
  readonly ids: readonly string[];
  /** What is right for fields; where it is there, nothing is made that is wrong on purpose. */
  readonly hints?: Hints | undefined;
}

/** What everybody gets wrong somewhere: texts that are no text, numbers that are no number, names that mean something. */
const ODD = fc.oneof(
  fc.constantFrom<unknown>(
    ...[null, true, false, 0, -1, -0, 1.5, 1e21, -1e21, 2 ** 53, 2 ** 31, 2 ** 63, 1e308, '', ' ', '0', '-1', 'null'],
    ...[
      '\u0000',
      'a\u0000b',
      '\ud800',
      '\udc00x',
      '\u202e',
      '💥'.repeat(50),
      'x'.repeat(5_000),
      '%',
      '%00',
      '..',
      '../..',
    ],
    ...[
      "'; drop table users; --",
      '{{7*7}}',
      '#{7*7}',
      '2026-02-30',
      '2026-13-01T00:00:00Z',
      '+292277-01-01T00:00:00Z',
    ],
    ...['infinity', '-infinity', 'NaN', '1e400', '00000000-0000-0000-0000-000000000000', [], {}, [[]], [null]],
    ...[{ __proto__: null }, { constructor: 1 }, { toString: 1 }, { '': 1 }, { length: -1 }],
  ),
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.jsonValue({ maxDepth: 4 }),
);

const ADDRESSES = ['nobody@example.com', 'NOBODY@EXAMPLE.com', `${'x'.repeat(64)}@example.com`];

function textOf({ format, pattern, minLength = 0, maxLength = 2_000 }: JsonSchema, { ids, hints }: Making) {
  if (format === 'uuid') return fc.constantFrom(...ids);
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (format === 'email') return fc.constantFrom(...ADDRESSES);
  const most = Math.min(maxLength, minLength + 40);
  const plain = fc.string({ unit: 'grapheme', minLength, maxLength: most });
  if (pattern === undefined) {
    return hints === undefined
      ? fc.oneof(plain, fc.constantFrom(...ids, ...ADDRESSES))
      : fc.stringMatching(/^[a-z]{1,8}$/);
  }
  // Not every pattern can be turned round; where it cannot, the text is likely refused, which is something, too.
  try {
    const fitting = fc.stringMatching(new RegExp(pattern, 'u'));
    if (hints !== undefined) return fitting;
    return fc.oneof({ arbitrary: fitting, weight: 3 }, { arbitrary: plain, weight: 1 });
  } catch {
    return plain;
  }
}

function numberOf({ type, minimum = -10, maximum = 1_000_000 }: JsonSchema) {
  const [min, max] = [Math.max(minimum, Number.MIN_SAFE_INTEGER), Math.min(maximum, Number.MAX_SAFE_INTEGER)];
  const small = fc.integer({ min: Math.ceil(min), max: Math.max(Math.ceil(min), Math.min(max, Math.ceil(min) + 100)) });
  if (type !== 'integer') return fc.oneof(small, fc.double({ min, max, noNaN: true }));
  return fc.oneof(small, fc.constantFrom(Math.ceil(min), Math.floor(max)));
}

function objectOf(schema: JsonSchema, making: Making, depth: number): fc.Arbitrary<unknown> {
  const { properties = {}, patternProperties = {}, required = [] } = schema;
  const fields = Object.entries(properties)
    .filter(([name]) => required.includes(name) || making.hints?.(name)?.length !== 0)
    .map(([name, field]) => [name, fieldOf(name, field, making, depth + 1)] as const);
  const all = fc.record(Object.fromEntries(fields), { requiredKeys: [...required] });
  // Of many fields one does not fit, or does not go with another: half have hardly more than they need.
  const optional = fields.map(([name]) => name).filter((name) => !required.includes(name));
  const few = fc.subarray(optional, { maxLength: Math.min(2, optional.length) }).chain((names) => {
    const chosen = fields.filter(([name]) => required.includes(name) || names.includes(name));
    return fc.record(Object.fromEntries(chosen));
  });
  const known = making.hints === undefined ? fc.oneof(few, all) : few;
  const extra = Object.entries(patternProperties)[0];
  if (extra === undefined) return known;
  const [pattern, value] = extra;
  const more = fc.dictionary(textOf({ pattern }, making), valuesOf(value, making, depth + 1), { maxKeys: 4 });
  return fc.tuple(known, more).map(([one, other]) => ({ ...one, ...other }));
}

function fittingOf(schema: JsonSchema, making: Making, depth: number): fc.Arbitrary<unknown> {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valuesOf(choice, making, depth)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  switch (type) {
    case 'object':
      return objectOf(schema, making, depth);
    case 'array': {
      const { items = {}, minItems = 0, maxItems = 5 } = schema;
      return fc.array(valuesOf(items, making, depth + 1), {
        minLength: minItems,
        maxLength: Math.min(maxItems, minItems + 4),
      });
    }
    case 'string':
      return textOf(schema, making);
    case 'integer':
    case 'number':
      return numberOf(schema);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return depth > 4 ? fc.constant('deep') : fc.jsonValue({ maxDepth: 3 });
  }
}

/** Returns values for a field of an object, or a parameter, of a name. */
export function fieldOf(name: string, schema: JsonSchema, making: Making, depth = 0): fc.Arbitrary<unknown> {
  const hint = making.hints?.(name);
  return hint === undefined || hint.length === 0 ? valuesOf(schema, making, depth) : fc.constantFrom(...hint);
}

/** Returns values for a schema: most fit it or its example; some do not fit in one place, unless they are to be right. */
export function valuesOf(schema: JsonSchema, making: Making, depth = 0): fc.Arbitrary<unknown> {
  const fitting = fittingOf(schema, making, depth);
  const { examples = [] } = schema;
  return fc.oneof(
    { arbitrary: fitting, weight: 12 },
    ...(examples.length > 0 ? [{ arbitrary: fc.constantFrom(...examples), weight: 8 }] : []),
    ...(making.hints === undefined ? [{ arbitrary: ODD, weight: 1 }] : []),
  );
}
