import { findLocale } from './text/text.js';

const NANO = 1_000_000_000;
const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/** Where the browser is: days begin and end there. */
export const TIME_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC';

// The server's days and months are those of one calendar.
const calendar = 'gregory';

const number = (value: number, options: Intl.NumberFormatOptions = {}) =>
  new Intl.NumberFormat(findLocale(), options).format(value);
const date = (moment: Date | number, options: Intl.DateTimeFormatOptions) =>
  new Intl.DateTimeFormat(findLocale(), { calendar, timeZone: TIME_ZONE, ...options }).format(moment);
/** A date without a time is the same everywhere: it is read and written in UTC. */
const isoDate = (iso: string, options: Intl.DateTimeFormatOptions) =>
  date(Date.parse(iso), { timeZone: 'UTC', ...options });

/** 1,234,567 */
export const formatCount = (value: number): string => number(value);
/** +1,234,567 and -1,234,567 */
export const formatSigned = (value: number): string => number(value, { signDisplay: 'exceptZero' });
/** 1.2M, where there is little room */
export const formatShort = (value: number): string => number(value, { notation: 'compact', maximumFractionDigits: 1 });
/** 1,230,000, where more digits would claim too much */
export const formatRough = (value: number): string => number(value, { maximumSignificantDigits: 3 });
/** 12.3%; of nothing, nothing */
export const formatShare = (part: number, all: number): string =>
  number(all === 0 ? 0 : part / all, { style: 'percent', maximumFractionDigits: 1 });

/** $1.25 of billionths of a US dollar; amounts below a cent keep two digits that say something. */
export function formatUsd(nano: number): string {
  const value = nano / NANO;
  const isSmall = value !== 0 && Math.abs(value) < 0.01;
  const digits = isSmall ? { maximumSignificantDigits: 2 } : {};
  return number(value, { style: 'currency', currency: 'USD', ...digits });
}

/** Sat, Jan 31 of 2026-01-31 */
export const formatWeekday = (iso: string): string =>
  isoDate(iso, { weekday: 'short', day: 'numeric', month: 'short' });
/** Jan 31 of 2026-01-31 */
export const formatMonthDay = (iso: string): string => isoDate(iso, { day: 'numeric', month: 'short' });
/** January of 2026-01-31 */
export const formatMonth = (iso: string): string => isoDate(iso, { month: 'long' });
/** January 2026 of 2026-01 */
export const formatMonthYear = (month: string): string => isoDate(`${month}-01`, { month: 'long', year: 'numeric' });
/** Jan 1 – 31, 2026 of two dates */
export const formatDays = (from: string, to: string): string =>
  new Intl.DateTimeFormat(findLocale(), { calendar, timeZone: 'UTC', dateStyle: 'medium' }).formatRange(
    Date.parse(from),
    Date.parse(to),
  );

const toMoment = (moment: string | number | Date) => new Date(moment);
/** Jan 31, 2026 of a moment, where the browser is */
export const formatDate = (moment: string | number | Date): string => date(toMoment(moment), { dateStyle: 'medium' });
/** Jan 31 – Feb 28, 2026 of two moments, where the browser is */
export const formatPeriod = (from: string, to: string): string =>
  new Intl.DateTimeFormat(findLocale(), { calendar, timeZone: TIME_ZONE, dateStyle: 'medium' }).formatRange(
    toMoment(from),
    toMoment(to),
  );
/** 2:05 PM, where the browser is */
export const formatTime = (moment: string | number | Date): string => date(toMoment(moment), { timeStyle: 'short' });
/** Jan 31, 2026, 2:05 PM */
export const formatDateTime = (moment: string | number | Date): string =>
  date(toMoment(moment), { dateStyle: 'medium', timeStyle: 'short' });

/** Nov 28, 2:05 PM of this year; of others with the year */
export function formatMoment(moment: string | number | Date, now = Date.now()): string {
  const at = toMoment(moment);
  const isThisYear = at.getFullYear() === new Date(now).getFullYear();
  const year = isThisYear ? {} : { year: 'numeric' as const };
  return date(at, { ...year, month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });
}

/** 5 minutes ago, yesterday, in 3 days; further away than a month the date. */
export function formatAgo(moment: string | number | Date, now = Date.now()): string {
  const seconds = Math.round((toMoment(moment).getTime() - now) / 1_000);
  const size = Math.abs(seconds);
  const relative = new Intl.RelativeTimeFormat(findLocale(), { numeric: 'auto' });
  if (size < MINUTE_S) return relative.format(0, 'minute');
  if (size < HOUR_S) return relative.format(Math.trunc(seconds / MINUTE_S), 'minute');
  if (size < DAY_S) return relative.format(Math.trunc(seconds / HOUR_S), 'hour');
  if (size < 30 * DAY_S) return relative.format(Math.trunc(seconds / DAY_S), 'day');
  return formatDate(moment);
}
