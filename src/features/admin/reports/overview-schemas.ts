import { Type } from '@sinclair/typebox';
import { BudgetSchema } from '../budget/budget-schemas.js';
import { DashboardSchema, DayUsageSchema, TopDeviceSchema } from './dashboard-schemas.js';

const Standing = { count: Type.Integer(), near_limit: Type.Integer({ description: 'A tenth left, or less.' }) };

const OverviewFields = {
  pools: Type.Object({ devices: BudgetSchema, users: BudgetSchema }),
  devices: Type.Object({ ...Standing, blocked: Type.Integer() }),
  people: Type.Object({ ...Standing, suspended: Type.Integer() }),
  period: Type.Object({
    number: Type.Integer(),
    started_at: Type.String(),
    default_tokens: Type.Union([Type.Integer(), Type.Null()]),
  }),
  ledger: Type.Union(
    [
      Type.Object({
        checked_at: Type.String(),
        milliseconds: Type.Integer({ description: 'How long it took.' }),
        discrepancies: Type.Integer(),
        failing: Type.Array(Type.String(), { description: 'The checks that found something.' }),
      }),
      Type.Null(),
    ],
    { description: 'What came of the last proof of the books; null before the first.' },
  ),
  top_devices: Type.Array(TopDeviceSchema, { description: 'The ten that used most in this period.' }),
  top_people: Type.Array(TopDeviceSchema, { description: 'The ten that used most of their balance.' }),
  top_models: Type.Array(
    Type.Object({
      model: Type.String(),
      events: Type.Integer(),
      prompts: Type.Integer(),
      total_tokens: Type.Integer(),
      cost: Type.Integer(),
      nano_usd: Type.Integer(),
    }),
    { description: 'The ten with most prompts in the last 30 days.' },
  ),
};

export const OverviewRowsSchema = Type.Object({ ...OverviewFields, usage: Type.Array(DayUsageSchema) });

export const OverviewSchema = Type.Object({ ...OverviewFields, usage: DashboardSchema.properties.usage });
