import fc from 'fast-check';
import type { JsonSchema } from './operations.js';

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

function textOf({ format, pattern, minLength = 0, maxLength = 2_000 }: JsonSchema, ids: readonly string[]) {
  if (format === 'uuid') return fc.constantFrom(...ids);
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (format === 'email') return fc.constantFrom(...ADDRESSES);
  const most = Math.min(maxLength, minLength + 40);
  const plain = fc.string({ unit: 'grapheme', minLength, maxLength: most });
  if (pattern === undefined) return fc.oneof(plain, fc.constantFrom(...ids, ...ADDRESSES));
  // Not every pattern can be turned round; where it cannot, the text is likely refused, which is something, too.
  try {
    return fc.oneof(
      { arbitrary: fc.stringMatching(new RegExp(pattern, 'u')), weight: 3 },
      { arbitrary: plain, weight: 1 },
    );
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

function objectOf(schema: JsonSchema, ids: readonly string[], depth: number): fc.Arbitrary<unknown> {
  const { properties = {}, patternProperties = {}, required = [] } = schema;
  const fields = Object.entries(properties).map(([name, field]) => [name, valuesOf(field, ids, depth + 1)] as const);
  const all = fc.record(Object.fromEntries(fields), { requiredKeys: [...required] });
  // Of many fields one does not fit, or does not go with another: half have hardly more than they need.
  const optional = fields.map(([name]) => name).filter((name) => !required.includes(name));
  const few = fc.subarray(optional, { maxLength: Math.min(2, optional.length) }).chain((names) => {
    const chosen = fields.filter(([name]) => required.includes(name) || names.includes(name));
    return fc.record(Object.fromEntries(chosen));
  });
  const known = fc.oneof(few, all);
  const extra = Object.entries(patternProperties)[0];
  if (extra === undefined) return known;
  const [pattern, value] = extra;
  const more = fc.dictionary(textOf({ pattern }, ids), valuesOf(value, ids, depth + 1), { maxKeys: 4 });
  return fc.tuple(known, more).map(([one, other]) => ({ ...one, ...other }));
}

function fittingOf(schema: JsonSchema, ids: readonly string[], depth: number): fc.Arbitrary<unknown> {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valuesOf(choice, ids, depth)));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  switch (type) {
    case 'object':
      return objectOf(schema, ids, depth);
    case 'array': {
      const { items = {}, minItems = 0, maxItems = 5 } = schema;
      return fc.array(valuesOf(items, ids, depth + 1), {
        minLength: minItems,
        maxLength: Math.min(maxItems, minItems + 4),
      });
    }
    case 'string':
      return textOf(schema, ids);
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

/**
 * Returns values for a schema: most fit it or its example, some do not fit in one place.
 * @param ids ids that exist, one's own and others', to be used where an id is asked for
 */
export function valuesOf(schema: JsonSchema, ids: readonly string[], depth = 0): fc.Arbitrary<unknown> {
  const fitting = fittingOf(schema, ids, depth);
  const { examples = [] } = schema;
  return fc.oneof(
    { arbitrary: fitting, weight: 12 },
    ...(examples.length > 0 ? [{ arbitrary: fc.constantFrom(...examples), weight: 8 }] : []),
    { arbitrary: ODD, weight: 1 },
  );
}
