import type { ProviderDays } from './bands.js';
import { headerCell, make } from './dom.js';
import { count, weekday } from './format.js';

function row(label: HTMLTableCellElement, values: readonly number[]): HTMLTableRowElement {
  const sum = values.reduce((total, value) => total + value, 0);
  const cells = [...values, sum].map((value) => make('td', 'number', count(value)));
  return make('tr', '', label, ...cells);
}

/** The numbers of the chart as a table, every provider by itself. */
export function dayTable(days: readonly string[], providers: readonly ProviderDays[]): HTMLTableElement {
  const names = [...providers.map(({ name }) => name), 'Total'];
  const head = make('tr', '', headerCell('col', '', 'Day'), ...names.map((name) => headerCell('col', 'number', name)));
  const rows = days.map((day, position) =>
    row(
      headerCell('row', '', weekday(day)),
      providers.map(({ values }) => values[position] ?? 0),
    ),
  );
  const totals = row(
    headerCell('row', '', 'Total'),
    providers.map(({ total }) => total),
  );
  return make(
    'table',
    '',
    make('caption', 'hidden', 'Tokens per day and provider'),
    make('thead', '', head),
    make('tbody', '', ...rows),
    make('tfoot', '', totals),
  );
}
