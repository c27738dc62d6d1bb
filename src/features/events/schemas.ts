import { type Static, Type } from '@sinclair/typebox';

/** Details of a use: short names, and values that are not objects or arrays. */
const PropertiesSchema = Type.Record(
  Type.String({ pattern: '^.{1,100}$' }),
  Type.Union([Type.String({ maxLength: 1_000 }), Type.Number(), Type.Boolean(), Type.Null()]),
  { maxProperties: 50, additionalProperties: false, description: 'Flat, at most 4 KB as JSON.' },
);

export const FeatureEventSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, pattern: '\\S', examples: ['focus-mode.opened'] }),
    properties: Type.Optional(PropertiesSchema),
    timestamp: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 253_402_300_799_999,
        description: 'When it happened, in milliseconds since 1970; now by default.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type FeatureEvent = Static<typeof FeatureEventSchema>;

export const RecordedFeatureSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  recorded: Type.Literal(true),
});

const Count = Type.Integer({ minimum: 0 });

/** What the numbers were that events of a name had as a property. */
const NumberSummarySchema = Type.Object(
  {
    name: Type.String(),
    property: Type.String(),
    count: Type.Integer({ minimum: 1, description: 'Events that had a number there.' }),
    avg: Type.Number({ description: 'Rounded to six places.' }),
    p50: Type.Number({ description: 'The median: one of the values.' }),
    p95: Type.Number({ description: '95 of 100 are not above it.' }),
    min: Type.Number(),
    max: Type.Number(),
  },
  { title: 'FeatureNumbers' },
);

const Range = {
  from: Type.String({ description: 'The first moment counted (UTC).' }),
  to: Type.String({ description: 'The first moment after it (UTC).' }),
  time_zone: Type.String(),
  totals: Type.Object({ events: Count }),
};
const Properties = Type.Array(NumberSummarySchema, {
  description: 'Of the newest 200,000 events, the 200 pairs of name and property that occur most.',
});
const Row = { day: Type.Optional(Type.String()), name: Type.String(), events: Count };

export const FeatureSummarySchema = Type.Object({
  ...Range,
  series: Type.Array(Type.Object(Row)),
  properties: Properties,
});

export const AllFeaturesSummarySchema = Type.Object({
  ...Range,
  omitted: Type.Object(
    { rows: Count, events: Count },
    { description: 'What the series leaves out: of more than 1,000 rows those with the fewest events.' },
  ),
  series: Type.Array(
    Type.Object({
      ...Row,
      users: Type.Integer({ minimum: 0, description: 'People who used it.' }),
      devices: Type.Integer({ minimum: 0, description: 'Devices linked to nobody that did.' }),
    }),
  ),
  properties: Properties,
});
