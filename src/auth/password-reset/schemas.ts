import { Type } from '@sinclair/typebox';
import { MessageSchema } from '../../platform/http/message-schema.js';
import { ApiKeySchema, RevokeApiKeys } from '../api-keys/schemas.js';
import { EmailSchema } from '../email.js';
import { PasswordSchema } from '../passwords.js';

export const ForgotPasswordSchema = Type.Object({ email: EmailSchema }, { additionalProperties: false });

export const ResetPasswordSchema = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 500, description: 'What the mailed link has behind #token=' }),
    new_password: PasswordSchema,
    revoke_api_keys: RevokeApiKeys,
  },
  { additionalProperties: false },
);

export const PasswordResetSchema = Type.Composite([MessageSchema, Type.Object({ api_keys: Type.Array(ApiKeySchema) })]);
