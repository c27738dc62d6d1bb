import { Type } from '@sinclair/typebox';

/** Length rules of every password; no truncation, no rules about characters. */
export const PasswordSchema = Type.String({ minLength: 8, maxLength: 256 });

export const AdminLoginSchema = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 100, examples: ['admin'] }),
    password: Type.String({ minLength: 1, maxLength: 256 }),
  },
  { additionalProperties: false },
);

export const AdminSessionSchema = Type.Object({
  token: Type.String({ description: 'Bearer token of the admin.' }),
  expires_in: Type.Integer({ description: 'Seconds until it expires.' }),
});

export const ChangePasswordSchema = Type.Object(
  { current_password: Type.String({ minLength: 1, maxLength: 256 }), new_password: PasswordSchema },
  { additionalProperties: false },
);
