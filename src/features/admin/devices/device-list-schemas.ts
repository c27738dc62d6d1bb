import { Type } from '@sinclair/typebox';
import { NextCursor } from '../../../platform/http/pagination.js';
import { ListedDeviceSchema } from '../reports/dashboard-schemas.js';
import { SortedListQuery, SortedRow } from '../sorted-list.js';
import { ManagedDeviceSchema } from './device-schemas.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const DevicesQuerySchema = Type.Object(
  SortedListQuery(
    ['created', 'name', 'allocated', 'used', 'remaining', 'last_seen'],
    ['blocked', 'near_limit', 'unlinked', 'idle'],
    'near_limit: a tenth of its tokens left, or less; idle: neither seen nor used for 30 days; unlinked: of nobody.',
  ),
  { additionalProperties: false },
);

export const DeviceRowsSchema = Type.Object({
  count: Type.Integer(),
  devices: Type.Array(SortedRow(ListedDeviceSchema)),
});

export const DevicesSchema = Type.Object({
  count: Type.Integer({ description: 'Number of all matches, not only of this page.' }),
  devices: Type.Array(ListedDeviceSchema),
  next_cursor: NextCursor,
});

export const DeviceDetailSchema = Type.Intersect(
  [
    ManagedDeviceSchema,
    Type.Object({
      user: Type.Union([
        Type.Object({ id: Type.String({ format: 'uuid' }), email: Type.String(), name: Type.String() }),
        Type.Null(),
      ]),
      period: Type.Integer({ description: 'The budget period its balance is in.' }),
      created_at: Type.String({ description: 'When it registered first.' }),
      last_registered_at: Type.String(),
      last_used_at: NullableText,
      has_secret: Type.Boolean({ description: 'Whether it proves itself by a secret of its own.' }),
      usage_this_month: ListedDeviceSchema.properties.usage_this_month,
      periods: Type.Array(Type.Object({ period: Type.Integer(), allocated: Type.Integer(), used: Type.Integer() }), {
        description: 'The last twelve periods that are over, newest first.',
      }),
    }),
  ],
  { title: 'DeviceDetail' },
);
