import { type Static, Type } from '@sinclair/typebox';
import { EmailSchema } from '../../../auth/email.js';
import { PasswordSchema } from '../../../auth/passwords.js';
import { DisplayNameSchema, UserSchema } from '../../../auth/user-schema.js';
import { NextCursor, PageQuery } from '../../../platform/http/pagination.js';

export const CreateUserSchema = Type.Object(
  {
    email: EmailSchema,
    name: Type.Optional(DisplayNameSchema),
    password: Type.Optional(PasswordSchema),
  },
  { additionalProperties: false },
);
export type CreateUser = Static<typeof CreateUserSchema>;

export const UsersQuerySchema = Type.Object(
  {
    ...PageQuery,
    q: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Part of a name or address.' })),
  },
  { additionalProperties: false },
);
export type UsersQuery = Static<typeof UsersQuerySchema>;

export const UsersSchema = Type.Object({
  success: Type.Literal(true),
  count: Type.Integer({ description: 'Number of all matches, not only of this page.' }),
  users: Type.Array(UserSchema),
  next_cursor: NextCursor,
});
