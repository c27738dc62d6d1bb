import { Type } from '@sinclair/typebox';
import { OneOf } from '../../../platform/http/one-of.js';
import { TierSchema } from '../users/account-schemas.js';

const DeviceLimit = Type.Union([Type.Integer({ minimum: 1, maximum: 1_000_000 }), Type.Null()], {
  description: 'Devices that may be linked to an account; null for any number.',
});

export const PlanListSchema = Type.Array(
  Type.Object({
    tier: OneOf(['free', 'pro', 'premium']),
    monthly_tokens: Type.Integer({ description: 'Tokens a paid month adds.' }),
    device_limit: Type.Union([Type.Integer(), Type.Null()]),
    updated_at: Type.String(),
    accounts: Type.Integer({ description: 'Accounts that have this tier now.' }),
  }),
);
export const PlansSchema = Type.Object({ plans: PlanListSchema });

export const PlanParamsSchema = Type.Object({ tier: TierSchema });

export const SetPlanWorthSchema = Type.Object(
  {
    monthly_tokens: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }),
    device_limit: DeviceLimit,
  },
  { additionalProperties: false },
);
