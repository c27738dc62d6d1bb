import { t } from '../text/text.js';
import type { Series } from './bands.js';

interface SeriesTableProps {
  readonly caption: string;
  readonly places: readonly string[];
  readonly series: readonly Series[];
  readonly place: (place: string) => string;
  readonly value: (value: number) => string;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Shows the numbers of a chart, every series by itself. What scrolls can be reached with the keyboard. */
export function SeriesTable({ caption, places, series, place, value }: SeriesTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
    <section class="scrolls" aria-label={caption} tabIndex={0}>
      <table class="numbers">
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{t('common.chart.place')}</th>
            {[...series.map(({ name }) => name), t('common.chart.total')].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {places.map((name, position) => {
            const values = series.map((one) => one.values[position] ?? 0);
            return (
              <tr key={name}>
                <th scope="row">{place(name)}</th>
                {series.map((one) => (
                  <td key={one.name} class="number">
                    {value(one.values[position] ?? 0)}
                  </td>
                ))}
                <td class="number">{value(sum(values))}</td>
              </tr>
            );
          })}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">{t('common.chart.total')}</th>
            {series.map((one) => (
              <td key={one.name} class="number">
                {value(one.total)}
              </td>
            ))}
            <td class="number">{value(sum(series.map(({ total }) => total)))}</td>
          </tr>
        </tfoot>
      </table>
    </section>
  );
}
