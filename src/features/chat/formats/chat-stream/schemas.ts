import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS } from '../../metering/request-estimate.js';
import { ModelSchema } from '../../openrouter/models.js';

const Nullable = <Schema extends TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]));

/** Marks a part as one of OpenRouter's cache breakpoints. */
const CacheControlSchema = Type.Object({
  type: Type.Literal('ephemeral'),
  ttl: Type.Optional(Type.Union([Type.Literal('5m'), Type.Literal('1h')])),
});
const TextPartSchema = Type.Object({
  type: Type.Literal('text'),
  text: Type.String(),
  cache_control: Nullable(CacheControlSchema),
});
const ImagePartSchema = Type.Object({
  type: Type.Literal('image_url'),
  image_url: Type.Object({
    url: Type.String({
      pattern: '^(https?://|data:image/)',
      description: 'A web address, or the image as a data URL.',
    }),
    detail: Nullable(Type.Union([Type.Literal('auto'), Type.Literal('low'), Type.Literal('high')])),
  }),
});
const PartSchema = Type.Union([TextPartSchema, ImagePartSchema]);
export type ChatPart = Static<typeof PartSchema>;
const MessageSchema = Type.Object({
  role: Type.Union([Type.Literal('user'), Type.Literal('assistant'), Type.Literal('system')]),
  content: Type.Union([Type.String(), Type.Array(PartSchema, { minItems: 1, maxItems: 1000 })]),
});
export type ChatMessage = Static<typeof MessageSchema>;

/** A request of contract 4. What it has besides is ignored, and optional fields may be null. */
export const ChatRequestSchema = Type.Object({
  access_token: Nullable(
    Type.String({
      minLength: 1,
      maxLength: 4096,
      description: "Google's access token; not needed with a bearer token.",
    }),
  ),
  messages: Type.Array(MessageSchema, { minItems: 1, maxItems: 2000 }),
  model: Nullable(ModelSchema),
  temperature: Nullable(Type.Number({ minimum: 0, maximum: 2, description: '0.7 by default.' })),
  max_tokens: Nullable(Type.Integer({ minimum: 1, maximum: MAX_OUTPUT_TOKENS })),
  stream: Nullable(Type.Boolean({ description: 'Send false for one JSON answer instead of a stream.' })),
});
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
