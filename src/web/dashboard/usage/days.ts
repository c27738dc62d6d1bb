import { TIME_ZONE } from '../../foundation/format.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Days as dates such as 2026-01-31, the last one included. */
export interface Days {
  readonly from: string;
  readonly to: string;
}

const parts = new Intl.DateTimeFormat('en-u-ca-gregory-nu-latn', {
  timeZone: TIME_ZONE,
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
});

/** Returns today's date, where the browser is. */
export function today(): string {
  const values = new Map(parts.formatToParts(Date.now()).map(({ type, value }) => [type, value]));
  return `${values.get('year')}-${values.get('month')}-${values.get('day')}`;
}

/** Returns the date some days later. */
function later(date: string, days: number): string {
  return new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Returns the last days, today included. */
export function lastDays(count: number): Days {
  const to = today();
  return { from: later(to, 1 - count), to };
}

/** Returns the calendar month that today is in, all of it. */
export function thisMonth(): Days {
  const [year = '', month = ''] = today().split('-');
  const next = new Date(Date.UTC(Number(year), Number(month), 1)).toISOString().slice(0, 10);
  return { from: `${year}-${month}-01`, to: later(next, -1) };
}

/** Returns the part of a query that asks for these days. */
export const toDaysQuery = ({ from, to }: Days) => ({ from, to, tz: TIME_ZONE });
