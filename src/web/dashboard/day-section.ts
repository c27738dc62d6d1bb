import { type Band, createBands } from './bands.js';
import { type Chart, drawChart } from './chart.js';
import { dayTable } from './day-table.js';
import { element, make } from './dom.js';
import { count, weekday } from './format.js';
import { createSwatch } from './pattern.js';
import { today } from './time.js';
import type { Use } from './use.js';

const place = element('chart', HTMLDivElement);
const legend = element('chart-legend', HTMLUListElement);
const title = element('chart-day', HTMLSpanElement);
const total = element('chart-total', HTMLElement);
const table = element('chart-table', HTMLElement);
/** Where the keyboard is in the chart; it lies over it, unseen, and the chart shows where it stands. */
const cursor = element('chart-cursor', HTMLInputElement);

let chart: Chart | undefined;
let days: readonly string[] = [];
let bands: readonly Band[] = [];
let rangeName = '';

/** A date, and that today is not over. */
function dayName(day: string): string {
  return day === today() ? `${weekday(day)} (today so far)` : weekday(day);
}

function valueOn(band: Band, day: number | undefined): number {
  return day === undefined ? band.total : (band.values[day] ?? 0);
}

/** Writes the numbers of a day, or of all of them, beside the names. */
function show(day: number | undefined): void {
  const name = day === undefined ? rangeName : dayName(days[day] ?? '');
  const all = bands.reduce((sum, band) => sum + valueOn(band, day), 0);
  title.textContent = name;
  total.textContent = `${count(all)} tokens`;
  bands.forEach((band, position) => {
    legend.children[position]?.lastElementChild?.replaceChildren(count(valueOn(band, day)));
  });
  const parts = bands.map((band) => `${band.name} ${count(valueOn(band, day))}`);
  cursor.setAttribute('aria-valuetext', `${name}: ${count(all)} tokens; ${parts.join(', ')}`);
}

/** Draws what is known anew, as after a change between light and dark. */
export function redrawDays(): void {
  chart?.remove();
  legend.replaceChildren(
    ...bands.map(({ slot, name }) => make('li', '', createSwatch(slot), make('span', 'name', name), make('b'))),
  );
  chart = days.length > 0 ? drawChart(place, days, bands, show) : undefined;
  show(undefined);
}

/**
 * Shows tokens per day, stacked by provider.
 *
 * @param range how the days are called together
 */
export function showDays(use: Pick<Use, 'days' | 'providers' | 'slots'>, range: string): void {
  days = use.days;
  bands = createBands(use.providers, use.slots);
  rangeName = range;
  // In this order: a value beyond the maximum would be cut.
  cursor.max = String(days.length - 1);
  cursor.value = cursor.max;
  table.replaceChildren(dayTable(days, use.providers));
  redrawDays();
}

const pointAtCursor = () => chart?.point(cursor.valueAsNumber);
cursor.addEventListener('focus', pointAtCursor);
cursor.addEventListener('input', pointAtCursor);
cursor.addEventListener('blur', () => chart?.point(undefined));
// What scrolls can be reached, and so scrolled, with the keyboard in every browser.
table.tabIndex = 0;
