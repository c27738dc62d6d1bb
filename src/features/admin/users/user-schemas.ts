import { type Static, Type } from '@sinclair/typebox';
import { EmailSchema } from '../../../auth/email.js';
import { PasswordSchema } from '../../../auth/passwords.js';
import { DisplayNameSchema, UserSchema } from '../../../auth/user-schema.js';
import { NextCursor, PageQuery } from '../../../platform/http/pagination.js';
import { SortedListQuery, SortedRow } from '../sorted-list.js';
import { TierSchema } from './account-schemas.js';

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

export const AccountsQuerySchema = Type.Object(
  SortedListQuery(
    ['created', 'email', 'allocated', 'used', 'remaining'],
    ['suspended', 'near_limit', 'unverified', 'subscribed', 'idle'],
    'near_limit: a tenth of its tokens left, or less; idle: no use for 30 days; subscribed: a tier other than free.',
  ),
  { additionalProperties: false },
);

const ListedAccountSchema = Type.Intersect(
  [
    UserSchema,
    Type.Object({
      email_verified: Type.Boolean(),
      suspended_at: Type.Union([Type.String(), Type.Null()]),
      tier: TierSchema,
      tokens_reserved: Type.Integer(),
      devices: Type.Integer({ description: 'Linked devices.' }),
      last_used_at: Type.Union([Type.String(), Type.Null()]),
    }),
  ],
  { title: 'ListedAccount' },
);

export const AccountRowsSchema = Type.Object({
  count: Type.Integer(),
  users: Type.Array(SortedRow(ListedAccountSchema)),
});

export const AccountsSchema = Type.Object({
  success: Type.Literal(true),
  count: Type.Integer({ description: 'Number of all matches, not only of this page.' }),
  users: Type.Array(ListedAccountSchema),
  next_cursor: NextCursor,
});
