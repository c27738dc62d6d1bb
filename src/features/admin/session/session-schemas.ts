import { Type } from '@sinclair/typebox';
import { PasswordSchema, TypedPasswordSchema } from '../../../auth/passwords.js';

export const AdminLoginSchema = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 100, examples: ['admin'] }),
    password: TypedPasswordSchema,
  },
  { additionalProperties: false },
);

export const AdminSessionSchema = Type.Object({
  token: Type.String({ description: 'Bearer token of the admin.' }),
  expires_in: Type.Integer({ description: 'Seconds until it expires.' }),
});

export const ChangePasswordSchema = Type.Object(
  { current_password: TypedPasswordSchema, new_password: PasswordSchema },
  { additionalProperties: false },
);
