import { Type } from '@sinclair/typebox';
import { ModelSchema } from '../../openrouter/models.js';

/** A field that is passed on as it is: only upstream and its models have to understand it. */
const PassedOn = Type.Optional(Type.Unknown());

/** A request for embeddings (OpenAI API reference, "Create embeddings"), with the fields that OpenRouter adds. */
export const EmbeddingRequestSchema = Type.Object(
  {
    input: Type.Unknown({
      description:
        'A text, a list of texts, of token ids or of lists of token ids, or of objects whose content is a list of parts. At most 2,048 inputs.',
      examples: ['The quick brown fox'],
    }),
    model: ModelSchema,
    encoding_format: Type.Optional(Type.Union([Type.Literal('float'), Type.Literal('base64'), Type.Null()])),
    dimensions: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 100_000 }), Type.Null()])),
    user: PassedOn,

    // OpenRouter's own.
    input_type: PassedOn,
    provider: Type.Optional(
      Type.Unknown({ description: 'May be limited to what costs tokens only.', examples: [{ sort: 'price' }] }),
    ),
  },
  { additionalProperties: false },
);

export const EmbeddingsSchema = Type.Object(
  {},
  { additionalProperties: true, description: "Upstream's answer, as it came." },
);
