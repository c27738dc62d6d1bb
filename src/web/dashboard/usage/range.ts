import { route } from '../../foundation/router/router.js';
import { type Days, lastDays, today } from './days.js';

/** Ranges to choose from; `custom` has dates of its own. */
export const RANGES = ['7', '30', '90', 'custom'] as const;
export type RangeName = (typeof RANGES)[number];

const DATE = /^\d{4}-\d{2}-\d{2}$/;
/** Tells whether a text is a day such as 2026-01-31. */
export const isDay = (text: string | null): text is string =>
  text !== null && DATE.test(text) && !Number.isNaN(Date.parse(text));

/** What the address says about the days that are shown. */
export interface Range {
  readonly name: RangeName;
  readonly days: Days;
  /** Whether the days can be asked for: the first is not after the last. */
  readonly valid: boolean;
}

/** Reads the range from the address of the view, so that it can be kept and sent. */
export function readRange(): Range {
  const { query } = route.value;
  const name = RANGES.find((range) => range === query.get('days')) ?? '30';
  if (name !== 'custom') return { name, days: lastDays(Number(name)), valid: true };
  const [from, to] = [query.get('from'), query.get('to')];
  const days = { from: isDay(from) ? from : lastDays(30).from, to: isDay(to) ? to : today() };
  return { name, days, valid: days.from <= days.to };
}
