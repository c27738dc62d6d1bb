import { type Static, Type } from '@sinclair/typebox';
import { ErrorCodeSchema } from '../../platform/http/error-schema.js';
import { OneOf, PROVENANCES, SOURCES } from '../../platform/http/one-of.js';

const MAX_TOKENS = 1_000_000_000_000;
const Tokens = (description: string) => Type.Integer({ minimum: 0, maximum: MAX_TOKENS, description });

/** An event as contract 1's extension sends it, once `readEvent` has read it: what it has besides is ignored. */
export const UsageEventSchema = Type.Object({
  provider: Type.String({
    pattern: '^[a-z0-9][a-z0-9._-]{0,49}$',
    description: 'chatgpt, claude, gemini, or another name in lower case.',
    examples: ['chatgpt'],
  }),
  model: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '\\S',
      examples: ['estimated'],
      description: 'unknown without one.',
    }),
  ),
  inputTokens: Tokens('Tokens sent.'),
  outputTokens: Tokens('Tokens received.'),
  totalTokens: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 2 * MAX_TOKENS, description: 'The sum of both, which counts in any case.' }),
  ),
  timestamp: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 253_402_300_799_999,
      description: 'When it happened, in milliseconds since 1970: now without it, or where it is up to a day ahead.',
      examples: [1_730_000_000_000],
    }),
  ),
  url: Type.Optional(
    Type.String({ maxLength: 2_048, description: 'The page; kept without query, fragment and credentials.' }),
  ),
  event_id: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'Idempotency key; without one the content decides.' }),
  ),
});
export type UsageEvent = Static<typeof UsageEventSchema>;

/** Events collected while offline; each is judged by itself. */
export const UsageBatchSchema = Type.Object({ events: Type.Array(Type.Unknown(), { minItems: 1, maxItems: 1_000 }) });

export const RecordedUsageSchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'Id of the usage event.' }),
  recorded: Type.Literal(true),
  duplicate: Type.Boolean({ description: 'Whether it had been recorded before.' }),
  adjusted: Type.Optional(
    Type.Array(Type.Literal('timestamp'), { description: 'What was set right: the time of a clock that is ahead.' }),
  ),
  summary_only: Type.Optional(
    Type.Boolean({ description: 'Whether it is too old to be listed, and only counts in summaries.' }),
  ),
});
export type RecordedUsage = Static<typeof RecordedUsageSchema>;

const RefusedUsageSchema = Type.Object(
  {
    recorded: Type.Literal(false),
    code: ErrorCodeSchema,
    error: Type.String({ description: 'Why this event was refused.' }),
  },
  { title: 'RefusedUse' },
);
export type RefusedUsage = Static<typeof RefusedUsageSchema>;

export const RecordedBatchSchema = Type.Object(
  {
    recorded: Type.Integer({ description: 'Events that are new.' }),
    duplicates: Type.Integer({ description: 'Events recorded before.' }),
    refused: Type.Integer(),
    results: Type.Array(Type.Union([RecordedUsageSchema, RefusedUsageSchema]), {
      description: 'A verdict for each event, in the order sent.',
    }),
  },
  { title: 'RecordedBatch' },
);
export type RecordedBatch = Static<typeof RecordedBatchSchema>;

const NullableText = Type.Union([Type.String(), Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

export const ListedUsageSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    user_id: NullableText,
    device_id: NullableText,
    provider: Type.String(),
    model: Type.String(),
    source: OneOf(SOURCES, { description: 'Which API recorded it.' }),
    prompts: Count,
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    cost: Type.Integer({ minimum: 0, description: 'Tokens it debited.' }),
    nano_usd: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], {
      description: 'What the model provider charges for it, in nano-dollars (10⁻⁹ US dollars); null where not known.',
    }),
    provenance: OneOf(PROVENANCES),
    url: NullableText,
    occurred_at: Type.String(),
    created_at: Type.String(),
  },
  { title: 'UsageEvent' },
);
export type ListedUsage = Static<typeof ListedUsageSchema>;

const UsageSums = {
  events: Count,
  prompts: Count,
  input_tokens: Count,
  output_tokens: Count,
  total_tokens: Count,
  cost: Count,
  nano_usd: Type.Integer({
    minimum: 0,
    description: 'What model providers charge, in nano-dollars (10⁻⁹ US dollars), as far as that is known.',
  }),
};

/** The names a summary may be grouped by, as its rows carry them. */
const GroupNames = {
  day: Type.String({ description: 'Date in the time zone asked for.' }),
  week: Type.String({ description: 'Its Monday.' }),
  month: Type.String({ description: 'Its first day.' }),
  provider: Type.String({
    description: 'Or other, for the models beyond the first hundred of an account or device a day.',
  }),
  model: Type.String({ description: 'Or other, likewise.' }),
  source: OneOf(SOURCES),
  device: NullableText,
  user: NullableText,
  other: Type.Literal(true, {
    description:
      'Marks the row that sums up the groups used least, where all of them would be more than 10,000 rows, or than `top`.',
  }),
};

export const UsageSummarySchema = Type.Object(
  {
    from: Type.String({ description: 'The first moment counted (UTC).' }),
    to: Type.String({ description: 'The first moment after it (UTC).' }),
    time_zone: Type.String(),
    totals: Type.Object(UsageSums),
    series: Type.Array(Type.Composite([Type.Partial(Type.Object(GroupNames)), Type.Object(UsageSums)])),
  },
  { title: 'UsageSummary' },
);
export type UsageSummary = Static<typeof UsageSummarySchema>;

export const UsageParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeletedUsageSchema = Type.Object({ id: Type.String({ format: 'uuid' }), deleted: Type.Literal(true) });
