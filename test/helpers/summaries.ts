/** One event, as the test knows it. */
export interface RawUsage {
  readonly at: number;
  readonly provider: string;
  readonly model: string;
  readonly source: string;
  readonly device: string | null;
  readonly user: string;
  readonly prompts: number;
  readonly input: number;
  readonly output: number;
}

export interface Sums {
  readonly events: number;
  readonly prompts: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly total_tokens: number;
  readonly cost: number;
}

/** A summary as the API answers it. */
export interface Summary {
  readonly from: string;
  readonly to: string;
  readonly time_zone: string;
  readonly totals: Sums;
  readonly series: readonly (Sums & Readonly<Record<string, unknown>>)[];
}

const DAY_MS = 24 * 60 * 60 * 1_000;
const dateText = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** Tells the date of a moment where the person is, by the runtime's own time zones rather than by Postgres'. */
function dateIn(tz: string): (at: number) => string {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone: tz, dateStyle: 'short' });
  return (at) => format.format(at);
}

/** The first day of the week (a Monday) or month a date is in, or the date. */
function periodOf(date: string, unit: string): string {
  if (unit === 'month') return `${date.slice(0, 7)}-01`;
  const at = Date.parse(date);
  return unit === 'week' ? dateText(at - ((new Date(at).getUTCDay() + 6) % 7) * DAY_MS) : date;
}

/** The events whose date, where the person is, is in a range of days. */
export function eventsIn(rows: readonly RawUsage[], tz: string, from: string, to: string): RawUsage[] {
  const localDate = dateIn(tz);
  return rows.filter(({ at }) => {
    const date = localDate(at);
    return date >= from && date <= to;
  });
}

function sumsOf(rows: readonly RawUsage[]): Sums {
  const sum = (value: (row: RawUsage) => number) => rows.reduce((total, row) => total + value(row), 0);
  return {
    events: rows.length,
    prompts: sum(({ prompts }) => prompts),
    input_tokens: sum(({ input }) => input),
    output_tokens: sum(({ output }) => output),
    total_tokens: sum(({ input, output }) => input + output),
    cost: 0,
  };
}

/** What the API must answer about these events, added up one by one. */
export function expectedSummary(
  rows: readonly RawUsage[],
  groups: readonly string[],
  tz: string,
  from: string,
  to: string,
): { totals: Sums; series: object[] } {
  const unit = groups.find((group) => ['day', 'week', 'month'].includes(group));
  const localDate = dateIn(tz);
  const namesOf = (row: RawUsage) =>
    JSON.stringify(Object.fromEntries(Object.entries(row).filter(([name]) => name !== unit && groups.includes(name))));
  const periodIn = (date: string) => (unit === undefined ? '' : periodOf(date, unit));

  const cells = new Map<string, RawUsage[]>();
  const days = Array.from({ length: (Date.parse(to) - Date.parse(from)) / DAY_MS + 1 }, (_, n) =>
    dateText(Date.parse(from) + n * DAY_MS),
  );
  const named = groups.some((group) => group !== unit);
  const tuples = new Set(named ? rows.map(namesOf) : ['{}']);
  for (const period of new Set(days.map(periodIn))) for (const tuple of tuples) cells.set(`${period} ${tuple}`, []);
  for (const row of rows) cells.get(`${periodIn(localDate(row.at))} ${namesOf(row)}`)?.push(row);

  const series = [...cells].map(([key, within]) => {
    const period = key.slice(0, key.indexOf(' '));
    const names: object = JSON.parse(key.slice(key.indexOf(' ') + 1));
    return { ...(unit !== undefined && { [unit]: period }), ...names, ...sumsOf(within) };
  });
  return { totals: sumsOf(rows), series: groups.length === 0 ? [] : series };
}

/** Rows in an order of their own, each with its fields in one. */
export function sorted(rows: readonly object[]): string[] {
  return rows.map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)))).toSorted();
}
