import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../../auth/email.js';

export const SignupSchema = Type.Object(
  {
    email: Type.Optional(
      Type.Union([EmailSchema, Type.String({ pattern: '^\\s*$', maxLength: 320 })], {
        description: 'Address of an existing account.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const SignedUpSchema = Type.Object({
  message: Type.Literal('User signed up successfully'),
  sessionToken: Type.String({
    description: 'Bearer token for trackUsage, valid for 30 days; it gives access to nothing else.',
  }),
});

/** One of the two counters is enough. */
export const TrackUsageSchema = Type.Object(
  {
    usage: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'Prompts to add; none without it.', examples: [1] }),
    ),
    tokenCount: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000_000_000,
        description: 'Language-model tokens to add; none without it.',
        examples: [1],
      }),
    ),
    event_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'Idempotency key: a repeated request gets the same answer and is counted once.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const TrackedUsageSchema = Type.Object({
  message: Type.Literal('Usage tracked successfully'),
  currentPromptCount: Type.Integer({ minimum: 0, description: 'Prompts counted for the account.' }),
  currentTokenCount: Type.Integer({ minimum: 0, description: 'Language-model tokens counted for the account.' }),
  threshold: Type.Integer({
    minimum: 0,
    description: 'Prompt count the operator set as a mark; nothing beyond it is refused.',
  }),
});

const Prompts = Type.Integer({ minimum: 0, maximum: 2_000_000_000, description: 'Prompts counted for the account.' });
const LlmTokens = Type.Integer({
  minimum: 0,
  maximum: 9_007_199_254_740_991,
  description: 'Language-model tokens counted for the account.',
});
const Enabled = Type.Boolean({ description: 'Whether tracker tokens are given out for the account.' });

export const ChangeTrackerSchema = Type.Union([
  Type.Object(
    { prompts: Prompts, tokens: LlmTokens, enabled: Type.Optional(Enabled) },
    { additionalProperties: false, description: 'The counters as they should be, both of them.' },
  ),
  Type.Object({ enabled: Enabled }, { additionalProperties: false }),
]);

export const TrackerSchema = Type.Object({
  prompts: Type.Integer({ minimum: 0, description: 'Prompts counted for the account.' }),
  tokens: LlmTokens,
  enabled: Enabled,
});

export const UserParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });
