import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../email.js';
import { PasswordSchema } from '../passwords.js';

export const ForgotPasswordSchema = Type.Object({ email: EmailSchema }, { additionalProperties: false });

export const ResetPasswordSchema = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 500, description: 'What the mailed link has behind #token=' }),
    new_password: PasswordSchema,
  },
  { additionalProperties: false },
);
