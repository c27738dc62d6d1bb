import { Type } from '@sinclair/typebox';
import { LRUCache } from 'lru-cache';
import { ApiError } from '../errors.js';

/** A date, or a moment with its offset from UTC (RFC 3339): without one it could be in any time zone. */
const MOMENT = '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?(Z|[+-]\\d{2}:\\d{2}))?$';
const Moment = (description: string) => Type.Optional(Type.String({ maxLength: 40, pattern: MOMENT, description }));

/** The query parameters of every route that reports on a range of days. */
export const TimeRangeQuery = {
  from: Moment('First day, or a moment on a quarter hour such as 2026-01-01T00:00:00Z; by default 30 days back.'),
  to: Moment('Last day, included, or the moment to stop before; by default today.'),
  tz: Type.String({ default: 'UTC', maxLength: 64, description: 'Time zone of the days, such as Europe/Berlin.' }),
};

/** A range of time, as {@link TimeRangeQuery} declares it. */
export interface TimeRange {
  readonly from?: string;
  readonly to?: string;
  readonly tz: string;
}

/** A range of time as the SQL functions take it. */
export interface TimeRangeArguments {
  readonly p_from: string;
  readonly p_to: string;
  readonly p_time_zone: string;
}

const DEFAULT_DAYS = 30;
const DAY_MS = 24 * 60 * 60 * 1_000;
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/;
/** Matches abbreviations such as CST or CET: Postgres, this runtime and people take them for different zones. */
const ABBREVIATION = /^(?!utc$|gmt$)[a-z]{2,4}$|^systemv\//i;

/** Formatters of dates by their time zones: creating one is a tenth of the time a summary takes. Zones have many spellings. */
const formats = new LRUCache<string, Intl.DateTimeFormat>({ max: 100 });

/** Creates the formatter of dates in a time zone; undefined for an unknown zone. */
function createDateFormat(timeZone: string): Intl.DateTimeFormat | undefined {
  if (!ZONE_NAME.test(timeZone) || ABBREVIATION.test(timeZone)) return undefined;
  try {
    return new Intl.DateTimeFormat('en-u-ca-gregory-nu-latn', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  } catch {
    return undefined;
  }
}

/** Finds the formatter of dates in a time zone; undefined for an unknown zone. */
function findDateFormat(timeZone: string): Intl.DateTimeFormat | undefined {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const created = createDateFormat(timeZone);
  if (created !== undefined) formats.set(timeZone, created);
  return created;
}

/** Returns the date of a moment as `YYYY-MM-DD`, whatever order the formatter's language writes it in. */
function toDate(format: Intl.DateTimeFormat, moment: number): string {
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]));
  return `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`;
}

/**
 * Fills in the ends a query leaves out: the last 30 days in its time zone.
 * @throws {ApiError} RANGE_NOT_VALID for an unknown time zone; SQL checks everything else
 */
export function resolveTimeRange({ from, to, tz }: TimeRange): Required<TimeRange> {
  const format = findDateFormat(tz);
  if (format === undefined) {
    throw new ApiError('RANGE_NOT_VALID', { sentence: 'tz is not a known time zone such as Europe/Berlin' });
  }
  return {
    from: from ?? toDate(format, Date.now() - (DEFAULT_DAYS - 1) * DAY_MS),
    to: to ?? toDate(format, Date.now()),
    tz,
  };
}

/**
 * Returns a range as the SQL functions take it, with both ends filled in as by {@link resolveTimeRange}.
 * @throws {ApiError} RANGE_NOT_VALID
 */
export function toTimeRangeArguments(range: TimeRange): TimeRangeArguments {
  const { from, to, tz } = resolveTimeRange(range);
  return { p_from: from, p_to: to, p_time_zone: tz };
}
