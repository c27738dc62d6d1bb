import { Type } from '@sinclair/typebox';
import { NextCursor } from '../../../platform/http/pagination.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const ResetMonthlySchema = Type.Object(
  {
    default_tokens: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }),
    force: Type.Boolean({ default: false, description: 'Reset even if this month has been reset already.' }),
  },
  { additionalProperties: false },
);

export const ResetSchema = Type.Object({
  period: Type.Integer(),
  devices: Type.Integer(),
  default_tokens: Type.Integer(),
});

export const ResetPreviewQuerySchema = Type.Object(
  { default_tokens: Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }) },
  { additionalProperties: false },
);

export const ResetPreviewSchema = Type.Object({
  period: Type.Integer({ description: 'The period it would close.' }),
  started_at: Type.String(),
  default_tokens: Type.Integer(),
  already_reset: Type.Boolean({ description: 'Whether this month was reset already, so that it needs force.' }),
  pool_total: Type.Union([Type.Integer(), Type.Null()]),
  fits: Type.Boolean({ description: 'Whether the pool has that many tokens.' }),
  allocated_before: Type.Integer(),
  allocated_after: Type.Integer(),
  devices: Type.Integer(),
  raised: Type.Integer({ description: 'Devices that would have more than now.' }),
  lowered: Type.Integer({ description: 'Devices that would have less than now.' }),
  used: Type.Integer({ description: 'Tokens used in the period so far.' }),
  unused: Type.Integer({ description: 'Tokens that are left, and would not be carried over.' }),
  reserved: Type.Integer({ description: 'Tokens in holds, which end.' }),
});

const PeriodSchema = Type.Object({
  number: Type.Integer(),
  started_at: Type.String(),
  closed_at: NullableText,
  closed_by: NullableText,
  default_tokens: Type.Union([Type.Integer(), Type.Null()]),
  devices: Type.Integer(),
  allocated: Type.Integer(),
  used: Type.Integer(),
});
export const PeriodListSchema = Type.Array(PeriodSchema);
export const PeriodsSchema = Type.Object({ periods: PeriodListSchema, next_cursor: NextCursor });

export const PeriodParamsSchema = Type.Object({ number: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });

const PeriodDeviceSchema = Type.Object({
  device_id: Type.String({ format: 'uuid' }),
  name: Type.String(),
  allocated: Type.Integer(),
  used: Type.Integer(),
});
export const PeriodDeviceListSchema = Type.Array(PeriodDeviceSchema);
export const PeriodDevicesSchema = Type.Object({ devices: PeriodDeviceListSchema, next_cursor: NextCursor });
