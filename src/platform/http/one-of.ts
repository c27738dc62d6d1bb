import { type StringOptions, Type } from '@sinclair/typebox';

/**
 * Describes a text of an answer that is one of a closed list, so that clients have it as a type. The database has the list;
 * what it says is written as it is.
 */
export const OneOf = <const Value extends string>(values: readonly Value[], options: StringOptions = {}) =>
  Type.Unsafe<Value>(Type.String({ ...options, enum: [...values] }));

/** Which API recorded a use. */
export const SOURCES = ['device', 'extension', 'tracker', 'chat', 'api'] as const;

/** Where a count of a use comes from. */
export const PROVENANCES = ['client_reported', 'provider_final', 'estimated'] as const;

/** What becomes of a hold. */
export const HOLD_STATUSES = ['held', 'settled', 'expired', 'released', 'lost'] as const;
