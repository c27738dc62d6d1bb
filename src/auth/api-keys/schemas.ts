import { type Static, Type } from '@sinclair/typebox';
import { ApiKeyScopeSchema, DEFAULT_SCOPES } from './scopes.js';

const NullableTime = Type.Union([Type.String(), Type.Null()]);

const ApiKeyFields = {
  id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  prefix: Type.String({ description: 'The first characters of the key, to tell it from others.' }),
  created_at: Type.String(),
  last_used_at: NullableTime,
  expires_at: NullableTime,
  scopes: Type.Array(ApiKeyScopeSchema),
};

/** The longest life that can be asked for in days; null is for ever. */
const MAX_DAYS = 3_650;

export const CreateApiKeySchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, pattern: '\\S', examples: ['Nightly report'] }),
    scopes: Type.Array(ApiKeyScopeSchema, { minItems: 1, uniqueItems: true, default: [...DEFAULT_SCOPES] }),
    expires_in_days: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: MAX_DAYS }), Type.Null()], {
        description: 'Days until the key expires, 365 where neither this nor expires_at is sent; null for never.',
      }),
    ),
    expires_at: Type.Optional(
      Type.String({
        format: 'date-time',
        maxLength: 40,
        description: 'When the key expires; the earlier counts if both are sent.',
      }),
    ),
  },
  { additionalProperties: false },
);

export type CreateApiKey = Static<typeof CreateApiKeySchema>;

export const ApiKeySchema = Type.Object(ApiKeyFields, { title: 'ApiKey' });

export const CreatedApiKeySchema = Type.Object(
  {
    ...ApiKeyFields,
    key: Type.String({ description: 'The key itself, shown only once.' }),
  },
  { title: 'CreatedApiKey' },
);

export const ApiKeysSchema = Type.Object({ api_keys: Type.Array(ApiKeySchema) });

/** A choice of every request that sets a new password. */
export const RevokeApiKeys = Type.Boolean({
  default: false,
  description: 'Whether all API keys end as well; the answer lists those that go on.',
});

export const ApiKeyParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeletedApiKeySchema = Type.Object({ id: Type.String({ format: 'uuid' }), deleted: Type.Literal(true) });
