import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../../auth/email.js';
import { PasswordSchema } from '../../auth/passwords.js';
import { DisplayNameSchema, UserSchema } from '../../auth/user-schema.js';
import { NextCursor, PageQuery } from '../../platform/http/pagination.js';

export const CreateUserSchema = Type.Object(
  {
    email: EmailSchema,
    name: Type.Optional(DisplayNameSchema),
    password: Type.Optional(PasswordSchema),
  },
  { additionalProperties: false },
);

export const UsersQuerySchema = Type.Object(
  {
    ...PageQuery,
    q: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Part of a name or address.' })),
  },
  { additionalProperties: false },
);

export const UsersSchema = Type.Object({
  success: Type.Literal(true),
  count: Type.Integer({ description: 'All that match, not only this page.' }),
  users: Type.Array(UserSchema),
  next_cursor: NextCursor,
});
