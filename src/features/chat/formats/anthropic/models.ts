import { type Static, Type } from '@sinclair/typebox';
import type { ListedModel } from '../../openrouter/models.js';

export const AnthropicModelSchema = Type.Object({
  type: Type.Literal('model'),
  id: Type.String(),
  display_name: Type.String(),
  created_at: Type.String({ description: 'RFC 3339; 1970 if unknown.' }),
});

/** A list in one page: no page follows it, whatever number was asked for. */
export const AnthropicModelsSchema = Type.Object({
  data: Type.Array(AnthropicModelSchema),
  has_more: Type.Literal(false),
  first_id: Type.Union([Type.String(), Type.Null()]),
  last_id: Type.Union([Type.String(), Type.Null()]),
});

/** Returns a model as Anthropic's API has it ("Get a Model"). */
export const toAnthropicModel = ({ id, created }: ListedModel): Static<typeof AnthropicModelSchema> => ({
  type: 'model',
  id,
  display_name: id,
  created_at: new Date(created * 1_000).toISOString(),
});

/** Returns a list of models as Anthropic's API has it ("List Models"). */
export const toAnthropicModels = (models: readonly ListedModel[]): Static<typeof AnthropicModelsSchema> => ({
  data: models.map(toAnthropicModel),
  has_more: false,
  first_id: models[0]?.id ?? null,
  last_id: models.at(-1)?.id ?? null,
});
