import { Type } from '@sinclair/typebox';

const ModelCostSchema = Type.Object({ model: Type.String(), cost: Type.Integer(), updated_at: Type.String() });
export const ModelCostListSchema = Type.Array(ModelCostSchema);
export const ModelCostsSchema = Type.Object({ model_costs: ModelCostListSchema });

export const SetModelCostsSchema = Type.Object(
  {
    model_costs: Type.Array(
      Type.Object(
        {
          model: Type.String({
            minLength: 1,
            maxLength: 200,
            pattern: '\\S',
            description: '* sets the price of all other models.',
          }),
          cost: Type.Union([Type.Integer({ minimum: 0, maximum: 1_000_000 }), Type.Null()]),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 500 },
    ),
  },
  { additionalProperties: false },
);
