import { type Static, Type } from '@sinclair/typebox';
import { NextCursor } from '../../platform/http/pagination.js';

const MAX_TOKENS = Number.MAX_SAFE_INTEGER;
const Tokens = Type.Integer();
const Id = Type.String({ format: 'uuid' });
const Nullable = <S extends ReturnType<typeof Type.Integer> | ReturnType<typeof Type.String>>(schema: S) =>
  Type.Union([schema, Type.Null()]);

export const BudgetSchema = Type.Object({
  subject_kind: Type.String({ description: 'device or user' }),
  total: Nullable(Type.Integer({ description: 'Size of the pool; null is unlimited.' })),
  allocated: Tokens,
  used: Tokens,
  reserved: Tokens,
  remaining: Type.Integer({ description: 'Allocated and neither used nor reserved.' }),
  unallocated: Nullable(Type.Integer({ description: 'What the pool still has; null is unlimited.' })),
});

const Kind = Type.Union([Type.Literal('device'), Type.Literal('user')], { default: 'device' });

export const BudgetQuerySchema = Type.Object({ subject_kind: Kind }, { additionalProperties: false });
export const SetBudgetSchema = Type.Object(
  { total: Nullable(Type.Integer({ minimum: 0, maximum: MAX_TOKENS })), subject_kind: Kind },
  { additionalProperties: false },
);

export const AllocateSchema = Type.Object(
  {
    device_id: Type.Optional(Id),
    user_id: Type.Optional(Id),
    tokens: Type.Integer({
      minimum: -MAX_TOKENS,
      maximum: MAX_TOKENS,
      description: 'Tokens to add; negative takes unused ones back to the pool.',
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
  allocated: Tokens,
  used: Tokens,
  reserved: Tokens,
  remaining: Tokens,
};
export const AllocatedSchema = Type.Object({
  ...SubjectBalance,
  from: Type.Union([Type.Object(SubjectBalance), Type.Null()]),
});

export const ResetMonthlySchema = Type.Object(
  {
    default_tokens: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }),
    force: Type.Boolean({ default: false, description: 'Reset although this month has been reset already.' }),
  },
  { additionalProperties: false },
);
export const ResetSchema = Type.Object({ period: Type.Integer(), devices: Type.Integer(), default_tokens: Tokens });

export const PeriodSchema = Type.Object({
  number: Type.Integer(),
  started_at: Type.String(),
  closed_at: Nullable(Type.String()),
  closed_by: Nullable(Type.String()),
  default_tokens: Nullable(Type.Integer()),
  devices: Type.Integer(),
  allocated: Tokens,
  used: Tokens,
});
export const PeriodsSchema = Type.Object({ periods: Type.Array(PeriodSchema), next_cursor: NextCursor });
export const PeriodParamsSchema = Type.Object({ number: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });
export const PeriodDeviceSchema = Type.Object({ device_id: Id, name: Type.String(), allocated: Tokens, used: Tokens });
export const PeriodDevicesSchema = Type.Object({ devices: Type.Array(PeriodDeviceSchema), next_cursor: NextCursor });

export const ModelCostSchema = Type.Object({ model: Type.String(), cost: Type.Integer(), updated_at: Type.String() });
export const ModelCostsSchema = Type.Object({ model_costs: Type.Array(ModelCostSchema) });
export const SetModelCostsSchema = Type.Object(
  {
    model_costs: Type.Array(
      Type.Object(
        {
          model: Type.String({ minLength: 1, maxLength: 200, pattern: '\\S', description: '* prices all others.' }),
          cost: Nullable(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 500 },
    ),
  },
  { additionalProperties: false },
);
