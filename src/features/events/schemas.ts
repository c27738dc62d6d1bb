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

export const FeatureSummarySchema = Type.Object({
  from: Type.String({ description: 'The first moment counted (UTC).' }),
  to: Type.String({ description: 'The first moment after it (UTC).' }),
  time_zone: Type.String(),
  totals: Type.Object({ events: Count }),
  series: Type.Array(Type.Object({ day: Type.Optional(Type.String()), name: Type.String(), events: Count })),
});
