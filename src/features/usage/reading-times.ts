import { parseNumber } from './reading-numbers.js';

/** Numbers below are seconds: as milliseconds they would be before March 1973. */
const LEAST_MILLISECONDS = 100_000_000_000;

/** ISO 8601: a date, or date and time, with or without an offset. */
const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:[.,]\d{1,9})?)?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?)?$/i;
/** The date in the texts JavaScript, e-mail and HTTP write: `27 Oct 2024`, or `Oct 27 2024`. */
const TEXT_DATE = /^(?:[a-z]{3},? )?(?:(\d{1,2}) ([a-z]{3})|([a-z]{3}) (\d{1,2})) (\d{4}) /i;
const TEXT_TIME = /\d{2}:\d{2}:\d{2} (?:GMT|UTC|(?:GMT)?[+-]\d{4})(?: \([^()]*\))?$/i;

/** Tells whether there is such a day: a parser takes the 30th of February for the 1st of March. */
function isDay(date: string, day: number): boolean {
  return new Date(Date.parse(date)).getUTCDate() === day;
}

function parseIso([, date = '', minutes = '00:00', seconds = ':00', offset = 'Z']: readonly string[]): number {
  if (!isDay(`${date}T00:00:00Z`, Number(date.slice(8)))) return Number.NaN;
  const zone = offset.replace(/^(.\d{2}):?(\d{2})?$/, (_, hours, rest = '00') => `${hours}:${rest}`).toUpperCase();
  return Date.parse(`${date}T${minutes}${seconds.replace(',', '.')}${zone}`);
}

/** Parses a text that names a time; returns NaN for any other, also where the order of its parts or its zone is open. */
function parseText(text: string): number {
  const iso = ISO.exec(text);
  if (iso !== null) return parseIso(iso);
  const date = TEXT_DATE.exec(text);
  if (date === null || !TEXT_TIME.test(text)) return Number.NaN;
  const [, first, month = date[3], , second, year] = date;
  const day = first ?? second;
  return isDay(`${day} ${month} ${year} 00:00:00 GMT`, Number(day)) ? Date.parse(text) : Number.NaN;
}

/**
 * Reads a time as clients write it: milliseconds or seconds since 1970, also as text, or a text that names it; without an
 * offset it is in UTC. An empty one is none.
 * @returns milliseconds since 1970; undefined for none; anything else as it is, for the schema to refuse
 */
export function readTime(value: unknown): unknown {
  if (value === null || (typeof value === 'string' && value.trim() === '')) return undefined;
  const number = parseNumber(value);
  if (number !== undefined) return Math.round(number < LEAST_MILLISECONDS ? number * 1_000 : number);
  const time = typeof value === 'string' ? parseText(value.trim()) : Number.NaN;
  return Number.isNaN(time) ? value : time;
}
