/** Tokens of one provider on one day. */
export interface DayCell {
  readonly day: string;
  readonly provider: string;
  readonly tokens: number;
}

/** Tokens of one provider on each of the days. */
export interface ProviderDays {
  readonly name: string;
  readonly values: readonly number[];
  readonly total: number;
}

/** One provider in the chart, or the small ones together. */
export interface Band extends ProviderDays {
  /** Which of the colours it has; {@link OTHERS} for the small ones. */
  readonly slot: number;
}

/** Colours there are: more could not be told apart. */
const SLOTS = 6;
/** The colour of all providers without one of their own. */
export const OTHERS = SLOTS;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** The days of some cells, in order. */
export function listDays(cells: readonly DayCell[]): readonly string[] {
  return [...new Set(cells.map(({ day }) => day))].sort();
}

/** Every provider's tokens on each day, largest first. */
export function providerTotals(cells: readonly DayCell[], days: readonly string[]): readonly ProviderDays[] {
  const positions = new Map(days.map((day, position) => [day, position]));
  const byName = new Map<string, number[]>();
  for (const { day, provider, tokens } of cells) {
    const values = byName.get(provider) ?? days.map(() => 0);
    values[positions.get(day) ?? 0] = tokens;
    byName.set(provider, values);
  }
  const totals = [...byName].map(([name, values]) => ({ name, values, total: sum(values) }));
  return totals.sort((a, b) => b.total - a.total);
}

/**
 * Gives the first providers a colour each. One that has a colour keeps it while it can, so that a colour means the same
 * in every range.
 */
export function createSlots(): (names: readonly string[]) => ReadonlyMap<string, number> {
  const owners: (string | undefined)[] = Array(SLOTS).fill(undefined);
  return (names) => {
    const shown = names.slice(0, SLOTS);
    for (const name of shown.filter((name) => !owners.includes(name))) {
      const unused = owners.indexOf(undefined);
      owners[unused >= 0 ? unused : owners.findIndex((owner) => !shown.includes(owner ?? ''))] = name;
    }
    return new Map(shown.map((name) => [name, owners.indexOf(name)]));
  };
}

/** The bands of the chart, from the bottom up: the largest providers, and the others as one. */
export function createBands(totals: readonly ProviderDays[], slots: ReadonlyMap<string, number>): readonly Band[] {
  const own = totals.flatMap((band) => {
    const slot = slots.get(band.name);
    return slot === undefined ? [] : [{ ...band, slot }];
  });
  const [first, ...more] = totals.filter(({ name }) => !slots.has(name));
  const bands = own.sort((a, b) => a.slot - b.slot);
  if (first === undefined) return bands;
  const values = first.values.map((value, day) => value + sum(more.map((band) => band.values[day] ?? 0)));
  const name = more.length === 0 ? first.name : `${more.length + 1} others`;
  return [...bands, { name, slot: OTHERS, values, total: sum(values) }];
}

/** The upper edge of each band on each day. */
export function computeEdges(bands: readonly Band[]): readonly (readonly number[])[] {
  const height = (bands[0]?.values ?? []).map(() => 0);
  return bands.map(({ values }) =>
    values.map((value, day) => {
      height[day] = (height[day] ?? 0) + value;
      return height[day];
    }),
  );
}
