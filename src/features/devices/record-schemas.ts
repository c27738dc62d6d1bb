import { Type } from '@sinclair/typebox';
import { HOLD_STATUSES, OneOf, PROVENANCES } from '../../platform/http/one-of.js';
import { NextCursor, PageQuery } from '../../platform/http/pagination.js';
import { TimeRangeQuery } from '../../platform/http/time-range.js';

export const ReadDeviceParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeviceUsageQuerySchema = Type.Object({ ...PageQuery, ...TimeRangeQuery }, { additionalProperties: false });

export const DeviceUseSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    model: Type.String(),
    prompts: Type.Integer({ description: 'Prompts the use counted for.' }),
    cost: Type.Integer({ description: 'Tokens it cost.' }),
    provenance: OneOf(PROVENANCES),
    occurred_at: Type.String({ description: 'When it happened.' }),
  },
  { title: 'DeviceUse' },
);
export const DeviceUsageSchema = Type.Object({ usage: Type.Array(DeviceUseSchema), next_cursor: NextCursor });

export const DeviceLedgerEntrySchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: OneOf(['grant', 'transfer', 'reset', 'adjustment', 'debit', 'hold']),
    amount: Type.Integer({
      description:
        'Tokens: positive if added, negative if taken back or spent. For a hold, the tokens it sets or set aside.',
    }),
    provenance: OneOf([...PROVENANCES, 'admin', 'system'], {
      description: 'Origin of the amount. Debits: client_reported; holds: estimated; all others: admin or system.',
    }),
    model: Type.Optional(Type.String()),
    reference: Type.Optional(Type.String({ description: 'What a change refers to.' })),
    status: Type.Optional(OneOf(HOLD_STATUSES, { description: 'Of a hold.' })),
    expires_at: Type.Optional(Type.String({ description: 'When a hold expires.' })),
    created_at: Type.String({ description: 'When it happened.' }),
  },
  { title: 'DeviceLedgerEntry' },
);
export const DeviceLedgerSchema = Type.Object({
  entries: Type.Array(DeviceLedgerEntrySchema),
  next_cursor: NextCursor,
});
