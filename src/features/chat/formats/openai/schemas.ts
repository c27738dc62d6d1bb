import { type Static, Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS } from '../../metering/request-estimate.js';
import { ModelSchema } from '../../openrouter/models.js';

const OutputTokensSchema = Type.Union([Type.Integer({ minimum: 1, maximum: MAX_OUTPUT_TOKENS }), Type.Null()]);
/**
 * Fields that are taken and not passed on: usage is always asked for, a fallback route is nothing without models, and
 * nobody is to see what upstream sent to a provider.
 */
export const DROPPED_FIELDS = ['debug', 'route', 'usage'] as const;
/** A field that is passed on as it is: only upstream and its models have to understand it. */
const PassedOn = Type.Optional(Type.Unknown());
/** A field that may cost more than tokens: an example of what is taken without CHAT_EXTRAS. */
const Limited = (example: unknown) =>
  Type.Optional(Type.Unknown({ description: 'May be limited to what costs tokens only.', examples: [example] }));

/**
 * A request in the OpenAI format (OpenAI API reference, "Create chat completion"), with the fields that OpenRouter, vLLM
 * and others add. What may cost more than tokens is looked at by `requireTokensOnly`.
 */
export const CompletionRequestSchema = Type.Object(
  {
    messages: Type.Array(Type.Object({ role: Type.String({ minLength: 1, maxLength: 50 }) }), {
      minItems: 1,
      maxItems: 2000,
    }),
    model: ModelSchema,
    stream: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    stream_options: Type.Optional(
      Type.Union([
        Type.Object({ include_usage: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])) }),
        Type.Null(),
      ]),
    ),
    max_tokens: Type.Optional(OutputTokensSchema),
    max_completion_tokens: Type.Optional(OutputTokensSchema),
    n: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 128 }), Type.Null()])),
    audio: Limited(null),
    frequency_penalty: PassedOn,
    function_call: PassedOn,
    functions: PassedOn,
    logit_bias: PassedOn,
    logprobs: PassedOn,
    metadata: PassedOn,
    min_p: PassedOn,
    modalities: Limited(['text']),
    parallel_tool_calls: PassedOn,
    prediction: PassedOn,
    presence_penalty: PassedOn,
    prompt_cache_key: PassedOn,
    provider: Limited({ sort: 'price' }),
    reasoning: PassedOn,
    reasoning_effort: PassedOn,
    repetition_penalty: PassedOn,
    response_format: PassedOn,
    safety_identifier: PassedOn,
    seed: PassedOn,
    service_tier: Limited('auto'),
    stop: PassedOn,
    store: PassedOn,
    temperature: PassedOn,
    tool_choice: Limited('auto'),
    tools: Limited([{ type: 'function', function: { name: 'weather' } }]),
    top_a: PassedOn,
    top_k: PassedOn,
    top_logprobs: PassedOn,
    top_p: PassedOn,
    user: PassedOn,
    verbosity: PassedOn,

    // OpenRouter's and other providers' own.
    cache_control: PassedOn,
    chat_template_kwargs: PassedOn,
    enable_thinking: PassedOn,
    include_reasoning: PassedOn,
    prompt_cache_retention: PassedOn,
    reasoning_format: PassedOn,
    session_id: PassedOn,
    structured_outputs: PassedOn,
    thinking: PassedOn,
    thinking_budget: PassedOn,
    trace: PassedOn,
    transforms: PassedOn,

    // Offered with CHAT_EXTRAS only.
    image_config: Limited(null),
    models: Type.Optional(Type.Union([Type.Array(ModelSchema, { maxItems: 100 }), Type.Null()])),
    plugins: Limited(null),
    preset: Limited(null),
    web_search_options: Limited(null),

    // Dropped.
    debug: PassedOn,
    route: PassedOn,
    usage: Type.Optional(Type.Union([Type.Object({ include: PassedOn }), Type.Null()])),
  },
  { additionalProperties: false },
);
export type CompletionRequest = Static<typeof CompletionRequestSchema>;

export const CompletionSchema = Type.Object(
  {},
  { additionalProperties: true, description: "Upstream's answer, as it came." },
);

export const CompletionStreamSchema = Type.String({
  description: "Server-sent events: upstream's chunks, then [DONE].",
});

export const ListedModelSchema = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('model'),
    created: Type.Integer({ description: 'Seconds since 1970; 0 if unknown.' }),
    owned_by: Type.String(),
  },
  { title: 'Model' },
);
export const ModelsSchema = Type.Object({ object: Type.Literal('list'), data: Type.Array(ListedModelSchema) });

export const ModelParamsSchema = Type.Object({
  id: Type.String({ maxLength: 200, description: 'The name of a model.', examples: ['openai/gpt-4'] }),
});
export const RestParamsSchema = Type.Object({ '*': Type.String({ maxLength: 200 }) });

const OpenAiErrorSchema = Type.Object(
  {
    error: Type.Object(
      {
        message: Type.String(),
        type: Type.String(),
        param: Type.Union([Type.String(), Type.Null()], {
          description: 'The member of the request at fault, as in tools[0].type.',
        }),
        code: Type.String(),
      },
      { additionalProperties: true },
    ),
  },
  { title: 'OpenAiError', description: 'An error in the OpenAI format.' },
);

/** Declares the error answers of a route in the OpenAI format. */
export function openAiErrors(...statuses: readonly number[]): Record<number, typeof OpenAiErrorSchema> {
  return Object.fromEntries([...statuses, 429, 500, 503].map((status) => [status, OpenAiErrorSchema]));
}
