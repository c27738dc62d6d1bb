import { Type } from '@sinclair/typebox';
import { NextCursor, PageQuery } from '../http/pagination.js';
import { PasswordSchema } from './session-schemas.js';

export const EmailSchema = Type.String({
  minLength: 3,
  maxLength: 320,
  pattern: '^\\s*[^\\s@]+@[^\\s@]+\\s*$',
  examples: ['user@example.com'],
});

export const CreateUserSchema = Type.Object(
  {
    email: EmailSchema,
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })),
    password: Type.Optional(PasswordSchema),
  },
  { additionalProperties: false },
);

const NullableText = Type.Union([Type.String(), Type.Null()]);
export const UserSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  email: Type.String(),
  name: NullableText,
  picture: NullableText,
  total_tokens: Type.Integer({ description: 'Tokens granted.' }),
  tokens_used: Type.Integer(),
  tokens_left: Type.Integer(),
  created_at: Type.String(),
  updated_at: Type.String(),
});

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
