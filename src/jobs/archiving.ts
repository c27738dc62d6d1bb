import { Type } from '@sinclair/typebox';
import type { Database } from '../platform/database/client/database.js';

const ArchivedSchema = Type.Object({
  month: Type.Union([Type.String(), Type.Null()]),
  archived: Type.Boolean(),
  events: Type.Optional(Type.Integer()),
  rollups: Type.Optional(Type.Integer()),
  elsewhere: Type.Optional(Type.Literal(true)),
});

/** As long as the function itself allows. */
const LONGEST = { timeoutMs: 60 * 60_000 };

/** A month that was archived, or could not be as somebody was reading it. */
export interface ArchivedMonth {
  readonly month: string;
  readonly archived: boolean;
  readonly events: number;
  readonly rollups: number;
}

/**
 * Archives the oldest month that is due, or what changed in one.
 *
 * @param keepMonths months that are over and stay as they are; without it none is archived, unless the database has Citus
 * @returns what was done with it, that none is due, or that somebody else archives or seals months at the moment
 */
export async function archiveMonth(
  database: Database,
  keepMonths: number | undefined,
): Promise<ArchivedMonth | 'none due' | 'elsewhere'> {
  const kept = keepMonths === undefined ? {} : { p_keep_months: keepMonths };
  const {
    month,
    archived,
    events = 0,
    rollups = 0,
    elsewhere = false,
  } = await database.call('archive_month', kept, ArchivedSchema, LONGEST);
  if (month === null) return elsewhere ? 'elsewhere' : 'none due';
  return { month, archived, events, rollups };
}
