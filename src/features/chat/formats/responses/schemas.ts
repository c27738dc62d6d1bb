import { Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS } from '../../metering/request-estimate.js';
import { ModelSchema } from '../../openrouter/models.js';

/** Fields that are taken and not passed on, as those of chat completions are. */
export const DROPPED_FIELDS = ['debug', 'route', 'usage'] as const;
/** A field that is passed on as it is: only upstream and its models have to understand it. */
const PassedOn = Type.Optional(Type.Unknown());
/** A field that may cost more than tokens, or asks for what was stored: an example of what is taken without CHAT_EXTRAS. */
const Limited = (example: unknown) =>
  Type.Optional(Type.Unknown({ description: 'May be limited to what costs tokens only.', examples: [example] }));

/** A request in the Responses format (OpenAI API reference, "Create a model response"), with the fields OpenRouter adds. */
export const ResponseRequestSchema = Type.Object(
  {
    input: Type.Optional(Type.Unknown({ description: 'A text, or a list of items.', examples: ['Hello!'] })),
    model: ModelSchema,
    instructions: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    stream: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    stream_options: PassedOn,
    max_output_tokens: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: MAX_OUTPUT_TOKENS }), Type.Null()]),
    ),
    include: PassedOn,
    max_tool_calls: PassedOn,
    metadata: PassedOn,
    parallel_tool_calls: PassedOn,
    prompt_cache_key: PassedOn,
    prompt_cache_options: PassedOn,
    prompt_cache_retention: PassedOn,
    reasoning: PassedOn,
    safety_identifier: PassedOn,
    service_tier: Limited('auto'),
    store: Limited(false),
    temperature: PassedOn,
    text: PassedOn,
    tool_choice: Limited('auto'),
    tools: Limited([{ type: 'function', name: 'weather', parameters: { type: 'object' } }]),
    top_logprobs: PassedOn,
    top_p: PassedOn,
    truncation: PassedOn,
    user: PassedOn,

    // OpenRouter's own.
    cache_control: PassedOn,
    frequency_penalty: PassedOn,
    presence_penalty: PassedOn,
    provider: Limited({ sort: 'price' }),
    session_id: PassedOn,
    top_k: PassedOn,
    trace: PassedOn,

    // Offered with CHAT_EXTRAS only.
    background: Limited(false),
    context_management: Limited(null),
    conversation: Limited(null),
    image_config: Limited(null),
    modalities: Limited(['text']),
    models: Type.Optional(Type.Union([Type.Array(ModelSchema, { maxItems: 100 }), Type.Null()])),
    moderation: Limited(null),
    plugins: Limited(null),
    preset: Limited(null),
    previous_response_id: Limited(null),
    prompt: Limited(null),
    stop_server_tools_when: Limited(null),

    // Dropped.
    debug: PassedOn,
    route: PassedOn,
    usage: PassedOn,
  },
  { additionalProperties: false },
);

export const ResponseSchema = Type.Object(
  {},
  { additionalProperties: true, description: "Upstream's answer, as it came." },
);

export const ResponseStreamSchema = Type.String({
  description: "Server-sent events: upstream's, the last of them when the tokens are debited.",
});
