import {
  type Cell,
  computeEdges,
  createBands,
  createSlots,
  listPlaces,
  OTHERS,
  toSeries,
} from '../../../src/web/foundation/chart/bands.js';
import t from '../../helpers/run/tap.js';

const cell = (day: string, provider: string, tokens: number): Cell => ({ place: day, name: provider, value: tokens });
const [MONDAY, TUESDAY] = ['2026-06-01', '2026-06-02'];
const nameOthers = (count: number) => `${count} others`;
const names = 'abcdefgh'.split('');

t.test('providers are ordered by use, with every day', async (t) => {
  const cells = [cell(TUESDAY, 'b', 5), cell(MONDAY, 'a', 1), cell(MONDAY, 'b', 2), cell(TUESDAY, 'a', 0)];
  const days = listPlaces(cells);
  t.strictSame(days, [MONDAY, TUESDAY]);
  t.strictSame(toSeries(cells, days), [
    { name: 'b', values: [2, 5], total: 7 },
    { name: 'a', values: [1, 0], total: 1 },
  ]);
});

t.test('the edges of the bands add up, with the small providers as one on top', async (t) => {
  const cells = names.flatMap((name, position) => [
    cell(MONDAY, name, 100 - position),
    cell(TUESDAY, name, position === 7 ? 1 : 0),
  ]);
  const totals = toSeries(cells, [MONDAY, TUESDAY]);
  const bands = createBands(totals, createSlots()(totals.map(({ name }) => name)), nameOthers);
  t.strictSame(
    bands.map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'e', 'f', '2 others'],
  );
  t.match(bands.at(-1), { slot: OTHERS, values: [94 + 93, 1], total: 188 });
  t.strictSame(
    computeEdges(bands).map(([monday]) => monday),
    [100, 199, 297, 394, 490, 585, 772],
  );
  t.strictSame(
    computeEdges(bands).map(([, tuesday]) => tuesday),
    [0, 0, 0, 0, 0, 0, 1],
  );
});

t.test('no provider more than there are colours is no others', async (t) => {
  const cells = names.slice(0, 6).map((name) => cell(MONDAY, name, 1));
  const totals = toSeries(cells, [MONDAY]);
  t.equal(createBands(totals, createSlots()(totals.map(({ name }) => name)), nameOthers).length, 6);
  const [first] = createBands(totals.slice(0, 1), new Map(), nameOthers);
  t.match(first, { name: 'a', slot: OTHERS, total: 1 }, 'and the only other one keeps its name');
  t.strictSame(computeEdges([]), []);
});

t.test('a provider keeps its colour in every range, and no two shown together share one', async (t) => {
  const slotsFor = createSlots();
  t.strictSame(
    [...slotsFor(['a', 'b'])],
    [
      ['a', 0],
      ['b', 1],
    ],
  );
  t.strictSame(
    [...slotsFor(['b', 'c', 'a'])],
    [
      ['b', 1],
      ['c', 2],
      ['a', 0],
    ],
  );
  slotsFor(names);
  for (const shown of [['g', 'h', 'a', 'b', 'c', 'd'], names, names.toReversed(), ['a'], names]) {
    const slots = slotsFor(shown);
    t.equal(slots.size, Math.min(6, shown.length));
    t.equal(new Set(slots.values()).size, slots.size, 'all different');
    t.ok([...slots.values()].every((slot) => slot >= 0 && slot < 6));
  }
});
