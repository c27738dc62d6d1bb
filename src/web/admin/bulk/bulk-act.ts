import type { Tier } from '../plans/tiers.js';

/** What somebody fills in for an act on many. */
export interface ActValues {
  readonly tokens: string;
  readonly tier: Tier;
  readonly api_keys: boolean;
}

/** Something that can be done to many at once. */
export interface BulkAct<Name extends string = string> {
  /** As the API calls it. */
  readonly name: Name;
  /** What it needs to know. */
  readonly field?: keyof ActValues;
  /** Whether balances change. */
  readonly moves?: boolean;
  /** Whether it takes something away. */
  readonly isDangerous?: boolean;
}

/** What is done to each, as the API takes it. */
export type ActRequest = Readonly<Record<string, unknown>> & { readonly action: string };

/** Whom it is done to, by the API's names of things. */
export type BulkKind = 'device' | 'user';
export const PATHS = { device: 'admin/devices', user: 'admin/users' } as const satisfies Record<BulkKind, string>;
