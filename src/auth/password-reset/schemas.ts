import { Type } from '@sinclair/typebox';
import { MessageSchema } from '../../platform/http/message-schema.js';
import { ApiKeySchema, RevokeApiKeys } from '../api-keys/schemas.js';
import { EmailSchema } from '../email.js';
import { PasswordSchema } from '../passwords.js';

export const ForgotPasswordSchema = Type.Object({ email: EmailSchema }, { additionalProperties: false });

export const ResetPasswordSchema = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 500, description: 'What the mailed link has behind #token=' }),
    new_password: Type.Optional(PasswordSchema),
    password: Type.Optional(PasswordSchema),
    revoke_api_keys: RevokeApiKeys,
  },
  { additionalProperties: false, description: 'The new password comes as new_password or as password.' },
);

export const PasswordResetSchema = Type.Composite([MessageSchema, Type.Object({ api_keys: Type.Array(ApiKeySchema) })]);
