import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import '../css/chart.css';
import { formatCount, formatMonthDay, formatShort, formatWeekday } from '../format.js';
import { language, plural, t } from '../text/text.js';
import { theme } from '../theme.js';
import { type Band, createBands, createSlots, type Series } from './bands.js';
import { type Chart as Drawn, drawChart } from './draw-chart.js';
import { paintSwatch } from './pattern.js';
import { SeriesTable } from './series-table.js';

/** How a chart writes its numbers and the places of its axis; days and counts unless it is said otherwise. */
export interface Writing {
  readonly place?: (place: string) => string;
  readonly placeShort?: (place: string) => string;
  readonly value?: (value: number) => string;
  readonly valueShort?: (value: number) => string;
  /** A sum, with what it is of. */
  readonly total?: (value: number) => string;
}

interface ChartProps {
  /** Says what is counted, such as "Tokens per day and provider". */
  readonly caption: string;
  /** Places of the axis, in order: days as 2026-01-31 unless `writing` says otherwise. */
  readonly places: readonly string[];
  /** Largest first. */
  readonly series: readonly Series[];
  /** What all places are called together, such as "Last 30 days". */
  readonly range: string;
  readonly writing?: Writing;
}

function Swatch({ slot }: { readonly slot: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current !== null) paintSwatch(canvas.current, slot);
  }, [slot, theme.value]);
  return (
    <span aria-hidden="true">
      <canvas ref={canvas} class="swatch" />
    </span>
  );
}

const valueAt = (band: Band, position: number | undefined) =>
  position === undefined ? band.total : (band.values[position] ?? 0);

/** Counts the changes between light and dark that the browser makes by itself. */
function useBrowserTheme(): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const note = () => setChanges((count) => count + 1);
    dark.addEventListener('change', note);
    return () => dark.removeEventListener('change', note);
  }, []);
  return changes;
}

/**
 * Shows values as stacked bars, with a legend, a cursor for the pointer and the arrow keys, and every number in a table
 * for those who cannot see the bars.
 */
export function Chart({ caption, places, series, range, writing = {} }: ChartProps) {
  const { place = formatWeekday, placeShort = formatMonthDay, value = formatCount, valueShort = formatShort } = writing;
  const { total: writeTotal = value } = writing;
  const container = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn | undefined>(undefined);
  const [position, setPosition] = useState<number | undefined>();
  const hint = useId();
  const slotsFor = useMemo(createSlots, []);
  const changes = useBrowserTheme();
  const bands = useMemo(() => {
    const slots = slotsFor(series.map(({ name }) => name));
    return createBands(series, slots, (count) => plural('common.chart.others', count));
  }, [series, language.value]);

  useEffect(() => {
    if (container.current === null || places.length === 0) return;
    setPosition(undefined);
    const drawing = { places, bands, labelPlace: placeShort, labelValue: valueShort, onPlace: setPosition };
    const chart = drawChart(container.current, drawing);
    drawn.current = chart;
    return () => chart.remove();
  }, [places, bands, theme.value, language.value, changes]);

  const name = position === undefined ? range : place(places[position] ?? '');
  const total = writeTotal(bands.reduce((sum, band) => sum + valueAt(band, position), 0));
  const spoken = bands.map((band) => `${band.name} ${value(valueAt(band, position))}`).join(', ');
  const last = places.length - 1;
  return (
    <div class="chart-with-numbers">
      <p class="readout" aria-hidden="true">
        <span>{name}</span>
        <b>{total}</b>
      </p>
      <div class="chart" ref={container}>
        <input
          type="range"
          min={0}
          max={last}
          value={position ?? last}
          aria-label={t('common.chart.cursor', { caption })}
          aria-describedby={hint}
          aria-valuetext={`${name}: ${total}; ${spoken}`}
          onInput={({ currentTarget }) => drawn.current?.point(currentTarget.valueAsNumber)}
          onFocus={({ currentTarget }) => drawn.current?.point(currentTarget.valueAsNumber)}
          onBlur={() => drawn.current?.point(undefined)}
        />
      </div>
      <p class="hidden" id={hint}>
        {t('common.chart.hint')}
      </p>
      <ul class="legend" aria-label={t('common.chart.legend')}>
        {bands.map((band) => (
          <li key={band.name}>
            <Swatch slot={band.slot} />
            <span>{band.name}</span>
            <b>{value(valueAt(band, position))}</b>
          </li>
        ))}
      </ul>
      <details>
        <summary>{t('common.chart.asTable')}</summary>
        <SeriesTable caption={caption} places={places} series={series} place={place} value={value} />
      </details>
    </div>
  );
}
