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
export const SubjectBalanceSchema = Type.Object(SubjectBalance);
// Optional, as answers that were kept for their idempotency key may be older than these fields.
const Before = { before: Type.Optional(SubjectBalanceSchema) };

export const AllocatedSchema = Type.Object({
  ...SubjectBalance,
  ...Before,
  from: Type.Union([Type.Object({ ...SubjectBalance, ...Before }), Type.Null()]),
  entries: Type.Optional(
    Type.Array(
      Type.Object({
        id: Type.String({ format: 'uuid' }),
        kind: Type.String(),
        device_id: Type.Optional(Type.String()),
        user_id: Type.Optional(Type.String()),
        amount: Type.Integer(),
      }),
      { description: 'The ledger entries that were written, the one of the balance first.' },
    ),
  ),
});
