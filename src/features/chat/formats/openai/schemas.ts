import { type Static, Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS, ModelSchema } from '../extension/schemas.js';

const Tokens = Type.Union([Type.Integer({ minimum: 1, maximum: MAX_OUTPUT_TOKENS }), Type.Null()]);
/** What only upstream and its models have to understand. */
const Passed = Type.Optional(Type.Unknown());

/**
 * A request in the OpenAI wire format (OpenAI API reference, "Create chat completion"), with the sampling parameters
 * OpenRouter adds. Fields that would cost more than tokens, as searching the web, are not among them.
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
      Type.Union([Type.Object({ include_usage: Type.Optional(Type.Boolean()) }), Type.Null()]),
    ),
    max_tokens: Type.Optional(Tokens),
    max_completion_tokens: Type.Optional(Tokens),
    n: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 128 }), Type.Null()])),
    audio: Passed,
    frequency_penalty: Passed,
    function_call: Passed,
    functions: Passed,
    logit_bias: Passed,
    logprobs: Passed,
    metadata: Passed,
    min_p: Passed,
    modalities: Passed,
    parallel_tool_calls: Passed,
    prediction: Passed,
    presence_penalty: Passed,
    prompt_cache_key: Passed,
    provider: Passed,
    reasoning: Passed,
    reasoning_effort: Passed,
    repetition_penalty: Passed,
    response_format: Passed,
    safety_identifier: Passed,
    seed: Passed,
    service_tier: Passed,
    stop: Passed,
    store: Passed,
    temperature: Passed,
    tool_choice: Passed,
    tools: Passed,
    top_a: Passed,
    top_k: Passed,
    top_logprobs: Passed,
    top_p: Passed,
    user: Passed,
    verbosity: Passed,
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

export const ModelsSchema = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      object: Type.Literal('model'),
      created: Type.Integer({ description: 'Seconds since 1970, 0 where not known.' }),
      owned_by: Type.String(),
    }),
  ),
});

const OpenAiErrorSchema = Type.Object(
  {
    error: Type.Object(
      {
        message: Type.String(),
        type: Type.String(),
        param: Type.Null(),
        code: Type.String(),
      },
      { additionalProperties: true },
    ),
  },
  { description: 'An error in the OpenAI wire format.' },
);

/** Declares error answers of a route in the OpenAI wire format. */
export function openAiErrors(...statuses: readonly number[]): Record<number, typeof OpenAiErrorSchema> {
  return Object.fromEntries([...statuses, 429, 500, 503].map((status) => [status, OpenAiErrorSchema]));
}
