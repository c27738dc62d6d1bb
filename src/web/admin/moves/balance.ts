import type { Static } from '@sinclair/typebox';
import type { AllocatedSchema } from '../../../features/admin/budget/allocation-schemas.js';

/** What moving tokens answers: the balance, what it was before, the other one, and the ledger entries. */
export type Moved = Static<typeof AllocatedSchema>;

/** Whose balance something is. */
export type SubjectKind = 'device' | 'user';

/** A balance with a name, as dialogs speak of it. */
export interface Subject {
  readonly kind: SubjectKind;
  readonly id: string;
  readonly name: string;
  readonly allocated: number;
  readonly remaining: number;
}

/** Returns how the API names a balance: `device_id` or `user_id`. */
export const toIdField = (kind: SubjectKind) => `${kind}_id` as const;
