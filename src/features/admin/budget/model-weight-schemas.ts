import { Type } from '@sinclair/typebox';
import { OneOf } from '../../../platform/http/one-of.js';

const MAX_WEIGHT = 1_000_000;
const NullableText = Type.Union([Type.String(), Type.Null()]);

const ModelWeightSchema = Type.Object({
  model: Type.String(),
  input_weight: Type.Number(),
  output_weight: Type.Number(),
  source: OneOf(['operator', 'upstream'], { description: 'upstream: derived from its prices.' }),
  comment: NullableText,
  updated_at: Type.String(),
});
export const ModelWeightListSchema = Type.Array(ModelWeightSchema);
export const ModelWeightsSchema = Type.Object({ model_weights: ModelWeightListSchema });

const Weight = (description: string) => Type.Number({ minimum: 0, maximum: MAX_WEIGHT, description });

export const SetModelWeightsSchema = Type.Object(
  {
    model_weights: Type.Array(
      Type.Object(
        {
          model: Type.String({
            minLength: 1,
            maxLength: 200,
            pattern: '\\S',
            description: 'A model, vendor/* for all others of a vendor, * for all others, *:free for free ones.',
          }),
          input_weight: Type.Union([Weight('Tokens debited for one of the prompt, to 4 decimals.'), Type.Null()]),
          output_weight: Type.Optional(Weight('The same for one of the answer; as for the prompt, if not given.')),
          comment: Type.Optional(Type.String({ maxLength: 500 })),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 500 },
    ),
  },
  { additionalProperties: false },
);
