import { type Static, type TProperties, Type } from '@sinclair/typebox';
import { MAX_OUTPUT_TOKENS } from '../../metering/request-estimate.js';
import { ModelSchema } from '../../openrouter/models.js';

/** A field that is passed on as it is: only upstream and its models have to understand it. */
const PassedOn = Type.Optional(Type.Unknown());
/** A field that may cost more than tokens: an example of what is taken without CHAT_EXTRAS. */
const Limited = (example: unknown) =>
  Type.Optional(Type.Unknown({ description: 'May be limited to what costs tokens only.', examples: [example] }));

const BlocksSchema = Type.Union([
  Type.String(),
  Type.Array(Type.Object({ type: Type.String({ minLength: 1, maxLength: 100 }) }), { maxItems: 100_000 }),
]);
const MessageSchema = Type.Object({
  role: Type.Union([Type.Literal('user'), Type.Literal('assistant'), Type.Literal('system')]),
  content: Type.Optional(BlocksSchema),
});

/** What a request may have besides its prompt, as in Anthropic's API reference, "Create a Message". */
const OPTIONS = {
  cache_control: PassedOn,
  compaction: PassedOn,
  container: Limited(null),
  context_management: PassedOn,
  inference_geo: Limited('global'),
  mcp_servers: Limited([]),
  metadata: PassedOn,
  output_config: PassedOn,
  output_format: PassedOn,
  service_tier: Limited('auto'),
  speed: Limited('standard'),
  stop_sequences: PassedOn,
  temperature: PassedOn,
  thinking: PassedOn,
  top_k: PassedOn,
  top_p: PassedOn,

  // OpenRouter's own.
  models: Type.Optional(Type.Union([Type.Array(ModelSchema, { maxItems: 100 }), Type.Null()])),
  plugins: Limited(null),
  preset: Limited(null),
  provider: Limited({ sort: 'price' }),
  session_id: PassedOn,
  stop_server_tools_when: Limited(null),
  trace: PassedOn,
  user: PassedOn,
} satisfies TProperties;

/** What a request is about. */
const PROMPT = {
  model: ModelSchema,
  messages: Type.Array(MessageSchema, { minItems: 1, maxItems: 100_000 }),
  system: Type.Optional(BlocksSchema),
  tool_choice: PassedOn,
  tools: Limited([{ name: 'weather', input_schema: { type: 'object' } }]),
} satisfies TProperties;

/**
 * Fields that are taken and not passed on, as they are about the account upstream: who pays there, and what is kept
 * there of other requests. `usage` is always asked for.
 */
const DROPPED = {
  billing_policy: PassedOn,
  debug: PassedOn,
  diagnostics: PassedOn,
  fallback_credit_token: PassedOn,
  route: PassedOn,
  usage: PassedOn,
  user_profile_id: PassedOn,
} satisfies TProperties;

/** Fields that go upstream as they are, besides those the server sets itself. */
const PASSED_ON: ReadonlySet<string> = new Set([...Object.keys(OPTIONS), ...Object.keys(PROMPT), 'max_tokens']);

const SHARED = {
  ...PROMPT,
  ...OPTIONS,
  ...DROPPED,
  fallbacks: Type.Optional(Type.Unknown({ description: 'Passed on with CHAT_EXTRAS, else left out.' })),
  thread: Type.Optional(Type.Null({ description: 'Conversations are not kept here.' })),
};

/** A request in Anthropic's format. Other members are looked at by `requireKnown`. */
export const MessagesRequestSchema = Type.Object({
  ...SHARED,
  max_tokens: Type.Integer({ minimum: 0, maximum: MAX_OUTPUT_TOKENS }),
  stream: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
});
export type MessagesRequest = Static<typeof MessagesRequestSchema>;

/** What is to be counted: a request as it would be made, with or without what it says about the answer. */
export const CountRequestSchema = Type.Object({ ...SHARED, max_tokens: PassedOn, stream: PassedOn });
export type CountRequest = Static<typeof CountRequestSchema>;

const KNOWN: ReadonlySet<string> = new Set(Object.keys(MessagesRequestSchema.properties));

/** Returns the members of a request that are not known here. */
export const findUnknown = (body: object): string[] => Object.keys(body).filter((name) => !KNOWN.has(name));

/** Returns whether a member goes upstream as it is. */
export const isPassedOn = (name: string): boolean => PASSED_ON.has(name);

export const CountSchema = Type.Object({
  input_tokens: Type.Integer({ description: 'An estimate, as every model has a tokenizer of its own.' }),
});

export const MessageAnswerSchema = Type.Object(
  {},
  { additionalProperties: true, description: "Upstream's message, as it came." },
);

export const MessageStreamSchema = Type.String({
  description: "Server-sent events: upstream's, from message_start to message_stop, or to an error.",
});

export const AnthropicErrorSchema = Type.Object(
  {
    type: Type.Literal('error'),
    error: Type.Object({ type: Type.String(), message: Type.String() }, { additionalProperties: true }),
    request_id: Type.String(),
  },
  { title: 'AnthropicError', description: "An error in Anthropic's format." },
);

/** Declares the error answers of a route in Anthropic's format. */
export function anthropicErrors(...statuses: readonly number[]): Record<number, typeof AnthropicErrorSchema> {
  return Object.fromEntries([...statuses, 429, 500, 503].map((status) => [status, AnthropicErrorSchema]));
}
