import { Type } from '@sinclair/typebox';
import { OneOf } from '../../../platform/http/one-of.js';

const PoolTokens = (description: string) => Type.Union([Type.Integer({ description }), Type.Null()]);
const SubjectKind = Type.Union([Type.Literal('device'), Type.Literal('user')], { default: 'device' });

export const BudgetSchema = Type.Object({
  subject_kind: OneOf(['device', 'user']),
  total: PoolTokens('Size of the pool; null is unlimited.'),
  allocated: Type.Integer(),
  used: Type.Integer(),
  reserved: Type.Integer(),
  remaining: Type.Integer({ description: 'Allocated, but neither used nor reserved.' }),
  unallocated: PoolTokens('Tokens left in the pool; null is unlimited.'),
});

export const BudgetQuerySchema = Type.Object({ subject_kind: SubjectKind }, { additionalProperties: false });

export const SetBudgetSchema = Type.Object(
  {
    total: Type.Union([Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()]),
    subject_kind: SubjectKind,
  },
  { additionalProperties: false },
);

export const BudgetPreviewQuerySchema = Type.Object(
  {
    total: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The new size; unlimited without it.',
      }),
    ),
    subject_kind: SubjectKind,
  },
  { additionalProperties: false },
);

export const BudgetPreviewSchema = Type.Object({
  before: BudgetSchema,
  after: BudgetSchema,
  over_allocated: Type.Integer({
    description: 'Tokens handed out beyond the new size: they stay, but nothing more can be allocated.',
  }),
});
