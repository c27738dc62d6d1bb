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
  readonly nano_usd: number;
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

/** Creates a function from moments to local dates, by the runtime's own time zones rather than by Postgres'. */
function createLocalDate(tz: string): (at: number) => string {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone: tz, dateStyle: 'short' });
  return (at) => format.format(at);
}

/** Returns the first day of the week (a Monday) or month a date is in, or the date itself. */
function toPeriod(date: string, unit: string): string {
  if (unit === 'month') return `${date.slice(0, 7)}-01`;
  const at = Date.parse(date);
  return unit === 'week' ? dateText(at - ((new Date(at).getUTCDay() + 6) % 7) * DAY_MS) : date;
}

/** Returns the events whose local date is in a range of days. */
export function eventsIn(rows: readonly RawUsage[], tz: string, from: string, to: string): RawUsage[] {
  const localDate = createLocalDate(tz);
  return rows.filter(({ at }) => {
    const date = localDate(at);
    return date >= from && date <= to;
  });
}

function addUp(rows: readonly RawUsage[]): Sums {
  const sum = (value: (row: RawUsage) => number) => rows.reduce((total, row) => total + value(row), 0);
  return {
    events: rows.length,
    prompts: sum(({ prompts }) => prompts),
    input_tokens: sum(({ input }) => input),
    output_tokens: sum(({ output }) => output),
    total_tokens: sum(({ input, output }) => input + output),
    cost: 0,
    nano_usd: 0,
  };
}

/** Returns what the API must answer about these events, added up one by one. */
export function expectedSummary(
  rows: readonly RawUsage[],
  groups: readonly string[],
  tz: string,
  from: string,
  to: string,
): { totals: Sums; series: object[] } {
  const unit = groups.find((group) => ['day', 'week', 'month'].includes(group));
  const localDate = createLocalDate(tz);
  const toNames = (row: RawUsage) =>
    JSON.stringify(Object.fromEntries(Object.entries(row).filter(([name]) => name !== unit && groups.includes(name))));
  const findPeriod = (date: string) => (unit === undefined ? '' : toPeriod(date, unit));

  const cells = new Map<string, RawUsage[]>();
  const days = Array.from({ length: (Date.parse(to) - Date.parse(from)) / DAY_MS + 1 }, (_, n) =>
    dateText(Date.parse(from) + n * DAY_MS),
  );
  const named = groups.some((group) => group !== unit);
  const tuples = new Set(named ? rows.map(toNames) : ['{}']);
  for (const period of new Set(days.map(findPeriod))) for (const tuple of tuples) cells.set(`${period} ${tuple}`, []);
  for (const row of rows) cells.get(`${findPeriod(localDate(row.at))} ${toNames(row)}`)?.push(row);

  const series = [...cells].map(([key, within]) => {
    const period = key.slice(0, key.indexOf(' '));
    const names: object = JSON.parse(key.slice(key.indexOf(' ') + 1));
    return { ...(unit !== undefined && { [unit]: period }), ...names, ...addUp(within) };
  });
  return { totals: addUp(rows), series: groups.length === 0 ? [] : series };
}

/** Returns rows as text in a stable order, each with its fields in a stable order. */
export function sorted(rows: readonly object[]): string[] {
  return rows.map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)))).toSorted();
}
