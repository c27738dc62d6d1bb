import { type Static, Type } from '@sinclair/typebox';

const MAX_TOKENS = Number.MAX_SAFE_INTEGER;
const Id = Type.String({ format: 'uuid' });

export const AllocateSchema = Type.Object(
  {
    device_id: Type.Optional(Id),
    user_id: Type.Optional(Id),
    tokens: Type.Integer({
      minimum: -MAX_TOKENS,
      maximum: MAX_TOKENS,
      description: 'Tokens to add; a negative number takes unused ones back to the pool.',
    }),
    from_device_id: Type.Optional(Id),
    from_user_id: Type.Optional(Id),
  },
  { additionalProperties: false },
);
export type Allocate = Static<typeof AllocateSchema>;

const SubjectBalance = {
  device_id: Type.Optional(Type.String()),
  user_id: Type.Optional(Type.String()),
  allocated: Type.Integer(),
  used: Type.Integer(),
  reserved: Type.Integer(),
  remaining: Type.Integer(),
};

export const AllocatedSchema = Type.Object({
  ...SubjectBalance,
  from: Type.Union([Type.Object(SubjectBalance), Type.Null()]),
});
