import { type Static, Type } from '@sinclair/typebox';
import { NextCursor, PageQuery } from '../../../platform/http/pagination.js';
import { BudgetSchema } from '../budget/budget-schemas.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);
const SORTS = ['created', 'name', 'allocated', 'used', 'remaining', 'last_seen'] as const;

export const DashboardQuerySchema = Type.Object(
  {
    ...PageQuery,
    q: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: 'Part of a name, e-mail address or id.' }),
    ),
    sort: Type.Union([...SORTS.map((sort) => Type.Literal(sort)), ...SORTS.map((sort) => Type.Literal(`-${sort}`))], {
      default: '-created',
      description: 'Column to sort by, with - for descending.',
    }),
  },
  { additionalProperties: false },
);
export type DashboardQuery = Static<typeof DashboardQuerySchema>;

export const UsageSchema = Type.Object({
  events: Type.Integer(),
  prompts: Type.Integer(),
  total_tokens: Type.Integer(),
  cost: Type.Integer(),
  nano_usd: Type.Integer({
    description: 'What model providers charge, in nano-dollars (10⁻⁹ US dollars), as far as that is known.',
  }),
});
export const DayUsageSchema = Type.Composite([Type.Object({ day: Type.String({ format: 'date' }) }), UsageSchema]);

export const ListedDeviceSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  user_email: NullableText,
  allocated: Type.Integer(),
  used: Type.Integer(),
  reserved: Type.Integer(),
  remaining: Type.Integer(),
  blocked: Type.Boolean(),
  registrations: Type.Integer(),
  last_seen: Type.String(),
  created_at: Type.String(),
  usage_this_month: Type.Array(
    Type.Object({ model: Type.String(), events: Type.Integer(), prompts: Type.Integer(), cost: Type.Integer() }),
  ),
});

export const TopDeviceSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  used: Type.Integer(),
  allocated: Type.Integer(),
});

export const DashboardSchema = Type.Object({
  budget: Type.Composite([BudgetSchema, Type.Object({ users: BudgetSchema })]),
  devices: Type.Object({ count: Type.Integer(), list: Type.Array(ListedDeviceSchema), next_cursor: NextCursor }),
  usage: Type.Object({
    today: UsageSchema,
    last_7_days: UsageSchema,
    last_30_days: UsageSchema,
    by_day: Type.Array(DayUsageSchema, { description: 'Days in UTC, today last.' }),
  }),
  top_devices: Type.Array(TopDeviceSchema, { description: 'The ten devices that used most in this period.' }),
});
