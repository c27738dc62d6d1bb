import { TIME_ZONE } from './time.js';

// Numbers and dates are written as the browser's language writes them; the server's months are those of one calendar.
const calendar = 'gregory';
const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const rough = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const share = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 });
// A date without a time is the same everywhere: it is read and written in UTC.
const day = new Intl.DateTimeFormat(undefined, {
  calendar,
  timeZone: 'UTC',
  weekday: 'short',
  day: 'numeric',
  month: 'short',
});
const dayOfYear = new Intl.DateTimeFormat(undefined, { calendar, timeZone: 'UTC', dateStyle: 'medium' });
const shortDay = new Intl.DateTimeFormat(undefined, { calendar, timeZone: 'UTC', day: 'numeric', month: 'short' });
const month = new Intl.DateTimeFormat(undefined, { calendar, timeZone: 'UTC', month: 'long' });
const date = new Intl.DateTimeFormat(undefined, { calendar, timeZone: TIME_ZONE, day: 'numeric', month: 'short' });
const time = new Intl.DateTimeFormat(undefined, { calendar, timeZone: TIME_ZONE, hour: 'numeric', minute: '2-digit' });

/** 1,234,567 */
export const count = (value: number): string => whole.format(value);
/** 1.2M, where there is little room */
export const shortCount = (value: number): string => short.format(value);
/** 1,230,000, where more digits would claim too much */
export const roughCount = (value: number): string => rough.format(value);
/** 12.3%; of nothing, nothing */
export const percent = (part: number, all: number): string => share.format(all === 0 ? 0 : part / all);
/** Sat, Jan 31 */
export const weekday = (isoDate: string): string => day.format(Date.parse(isoDate));
/** Jan 31 */
export const monthDay = (isoDate: string): string => shortDay.format(Date.parse(isoDate));
/** January */
export const monthName = (isoDate: string): string => month.format(Date.parse(isoDate));
/** Jan 1 – 31, 2026 */
export const dayRange = (from: string, to: string): string => dayOfYear.formatRange(Date.parse(from), Date.parse(to));
/** Jan 31, of a moment where the browser is */
export const formatDate = (moment: number | Date): string => date.format(moment);
/** 14:05, where the browser is */
export const formatTime = (moment: Date): string => time.format(moment);

/** 1 event, 2 events */
export function counted(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
