import { type Static, Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS } from '../../metering/request-estimate.js';
import { ModelSchema } from '../../openrouter/models.js';

/** Marks a part as one of OpenRouter's cache breakpoints. */
const CacheControlSchema = Type.Object(
  { type: Type.Literal('ephemeral'), ttl: Type.Optional(Type.Union([Type.Literal('5m'), Type.Literal('1h')])) },
  { additionalProperties: false },
);
const TextPartSchema = Type.Object(
  { type: Type.Literal('text'), text: Type.String(), cache_control: Type.Optional(CacheControlSchema) },
  { additionalProperties: false },
);
const ImagePartSchema = Type.Object(
  {
    type: Type.Literal('image_url'),
    image_url: Type.Object(
      {
        url: Type.String({
          pattern: '^(https?://|data:image/)',
          description: 'A web address, or the image as a data URL.',
        }),
        detail: Type.Optional(Type.Union([Type.Literal('auto'), Type.Literal('low'), Type.Literal('high')])),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
const MessageSchema = Type.Object(
  {
    role: Type.Union([Type.Literal('user'), Type.Literal('assistant'), Type.Literal('system')]),
    content: Type.Union([
      Type.String(),
      Type.Array(Type.Union([TextPartSchema, ImagePartSchema]), { minItems: 1, maxItems: 1000 }),
    ]),
  },
  { additionalProperties: false },
);

export const ChatRequestSchema = Type.Object(
  {
    access_token: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: "Google's access token; not needed with a bearer token.",
      }),
    ),
    messages: Type.Array(MessageSchema, { minItems: 1, maxItems: 2000 }),
    model: Type.Optional(ModelSchema),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, description: '0.7 by default.' })),
    max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_OUTPUT_TOKENS })),
    stream: Type.Optional(Type.Boolean({ description: 'Send false for one JSON answer instead of a stream.' })),
  },
  { additionalProperties: false },
);
export type ChatRequest = Static<typeof ChatRequestSchema>;

/** Whatever upstream answered, with the balance. */
export const ChatAnswerSchema = Type.Object(
  {
    tokens_left: Type.Integer({ description: 'Tokens left after this request.' }),
    tokens_used: Type.Integer({ description: 'Tokens this request used.' }),
  },
  { additionalProperties: true },
);

export const EventStreamSchema = Type.String({
  description:
    "Server-sent events: upstream's chunks, then {type: token_update, tokens_left, tokens_used}, with reason: quota if the tokens ran out, then [DONE].",
});
