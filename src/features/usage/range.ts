import { ApiError } from '../../platform/errors.js';

/** A range of time as the SQL functions take it. */
export interface Range {
  readonly p_from: string;
  readonly p_to: string;
  readonly p_time_zone: string;
}

const DAYS_BY_DEFAULT = 30;
const DAY_MS = 24 * 60 * 60 * 1_000;
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/;
/** Abbreviations such as CST or CET: Postgres, this runtime and people take them for different zones. */
const ABBREVIATION = /^(?!utc$|gmt$)[a-z]{2,4}$|^systemv\//i;

/** Formats dates as they are in a time zone; undefined for a zone there is none of. */
function dateFormatOf(timeZone: string): Intl.DateTimeFormat | undefined {
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

/** The date of a moment as Postgres reads it, whatever order a language writes it in. */
function dateIn(format: Intl.DateTimeFormat, moment: number): string {
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]));
  return `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`;
}

/** A range of time as the query names it. */
export interface Dates {
  readonly from?: string;
  readonly to?: string;
  readonly tz: string;
}

/**
 * The range a question is about: what it names, or the last 30 days where the person is.
 * @throws {ApiError} RANGE_NOT_VALID for an unknown time zone; SQL judges the rest
 */
export function toDates({ from, to, tz }: Dates): Required<Dates> {
  const format = dateFormatOf(tz);
  if (format === undefined) {
    throw new ApiError('RANGE_NOT_VALID', { sentence: 'tz is not a known time zone such as Europe/Berlin' });
  }
  return {
    from: from ?? dateIn(format, Date.now() - (DAYS_BY_DEFAULT - 1) * DAY_MS),
    to: to ?? dateIn(format, Date.now()),
    tz,
  };
}

/** {@link toDates}, as the SQL functions take it. */
export function toRange(query: Dates): Range {
  const { from, to, tz } = toDates(query);
  return { p_from: from, p_to: to, p_time_zone: tz };
}
