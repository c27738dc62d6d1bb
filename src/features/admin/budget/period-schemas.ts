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
