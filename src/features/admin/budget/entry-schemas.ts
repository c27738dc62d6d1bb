import { Type } from '@sinclair/typebox';
import { OneOf } from '../../../platform/http/one-of.js';
import { NextCursor } from '../../../platform/http/pagination.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

const BalanceEntrySchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: OneOf(['grant', 'transfer', 'reset', 'adjustment', 'subscription', 'correction']),
    amount: Type.Integer({ description: 'Tokens: positive if added, negative if taken back.' }),
    actor: Type.String({ description: 'Who did it: admin:<name> or system:<what>.' }),
    reference: NullableText,
    created_at: Type.String(),
    period: Type.Integer({ description: 'The budget period it fell into.' }),
    undone: Type.Boolean({ description: 'Whether a later entry undoes it.' }),
    undoable: Type.Boolean({ description: 'Whether it may be undone: an act of this period, and not undone yet.' }),
    counterpart: Type.Union([Type.String({ description: 'The other side of a transfer.' }), Type.Null()]),
  },
  { title: 'AccountLedgerEntry' },
);
export const BalanceEntryListSchema = Type.Array(BalanceEntrySchema);
export const BalanceEntriesSchema = Type.Object({ entries: BalanceEntryListSchema, next_cursor: NextCursor });

export const EntryParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });
