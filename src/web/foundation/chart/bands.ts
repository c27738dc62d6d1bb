/** A value of one series at one place of the axis, such as the tokens of a provider on a day. */
export interface Cell {
  readonly place: string;
  readonly name: string;
  readonly value: number;
}

/** The values of one series at each place of the axis. */
export interface Series {
  readonly name: string;
  readonly values: readonly number[];
  readonly total: number;
}

/** One series in the chart, or the small ones together. */
export interface Band extends Series {
  /** Which of the colours it has; {@link OTHERS} for the small ones. */
  readonly slot: number;
}

/** Colours there are: more could not be told apart. */
const SLOTS = 6;
/** The colour of all series without one of their own. */
export const OTHERS = SLOTS;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Lists the places of some cells, in order. */
export function listPlaces(cells: readonly Cell[]): readonly string[] {
  return [...new Set(cells.map(({ place }) => place))].sort();
}

/** Returns every series' values at each place, largest series first. */
export function toSeries(cells: readonly Cell[], places: readonly string[]): readonly Series[] {
  const positions = new Map(places.map((place, position) => [place, position]));
  const byName = new Map<string, number[]>();
  for (const { place, name, value } of cells) {
    const values = byName.get(name) ?? places.map(() => 0);
    values[positions.get(place) ?? 0] = value;
    byName.set(name, values);
  }
  const all = [...byName].map(([name, values]) => ({ name, values, total: sum(values) }));
  return all.sort((a, b) => b.total - a.total);
}

/**
 * Gives the first series a colour each. One that has a colour keeps it while it can, so that a colour means the same in
 * every range.
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

/**
 * Returns the bands of the chart, from the bottom up: the largest series, and the others as one.
 *
 * @param nameOthers names some series that are shown as one, by how many they are
 */
export function createBands(
  all: readonly Series[],
  slots: ReadonlyMap<string, number>,
  nameOthers: (count: number) => string,
): readonly Band[] {
  const own = all.flatMap((series) => {
    const slot = slots.get(series.name);
    return slot === undefined ? [] : [{ ...series, slot }];
  });
  const [first, ...more] = all.filter(({ name }) => !slots.has(name));
  const bands = own.sort((a, b) => a.slot - b.slot);
  if (first === undefined) return bands;
  const values = first.values.map((value, place) => value + sum(more.map((series) => series.values[place] ?? 0)));
  const name = more.length === 0 ? first.name : nameOthers(more.length + 1);
  return [...bands, { name, slot: OTHERS, values, total: sum(values) }];
}

/** Returns the upper edge of each band at each place. */
export function computeEdges(bands: readonly Band[]): readonly (readonly number[])[] {
  const height = (bands[0]?.values ?? []).map(() => 0);
  return bands.map(({ values }) =>
    values.map((value, place) => {
      height[place] = (height[place] ?? 0) + value;
      return height[place];
    }),
  );
}
