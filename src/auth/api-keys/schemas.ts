import { Type } from '@sinclair/typebox';

const NullableTime = Type.Union([Type.String(), Type.Null()]);

const ApiKeyFields = {
  id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  prefix: Type.String({ description: 'The first characters of the key, to tell it from others.' }),
  created_at: Type.String(),
  last_used_at: NullableTime,
  expires_at: NullableTime,
};

export const CreateApiKeySchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, pattern: '\\S', examples: ['Nightly report'] }),
    expires_at: Type.Optional(
      Type.String({ format: 'date-time', maxLength: 40, description: 'When the key expires; never by default.' }),
    ),
  },
  { additionalProperties: false },
);

export const ApiKeySchema = Type.Object(ApiKeyFields);

export const CreatedApiKeySchema = Type.Object({
  ...ApiKeyFields,
  key: Type.String({ description: 'The key itself, shown only once.' }),
});

export const ApiKeysSchema = Type.Object({ api_keys: Type.Array(ApiKeySchema) });

export const ApiKeyParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeletedApiKeySchema = Type.Object({ id: Type.String({ format: 'uuid' }), deleted: Type.Literal(true) });
