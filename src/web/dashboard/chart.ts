import { type Band, computeEdges } from './bands.js';
import { monthDay, shortCount } from './format.js';
import { createFill, readStyle } from './pattern.js';
import uPlot from './uplot.js';

const HEIGHT = 330;
/** CSS pixels a date below the chart needs. */
const DATE_WIDTH = 64;
const FONT = '12px system-ui, sans-serif';

/** The chart that is shown. */
export interface Chart {
  /** Points at a day, by its position, or at none. */
  readonly point: (day: number | undefined) => void;
  readonly remove: () => void;
}

/** Which days have their date written below: the last one, and as many before as there is room for. */
function datedDays(count: number, width: number): number[] {
  const step = Math.ceil(count / Math.max(1, Math.floor(width / DATE_WIDTH)));
  return [...Array(count).keys()].filter((day) => (count - 1 - day) % step === 0);
}

function createOptions(days: readonly string[], bands: readonly Band[], onDay: (day: number | undefined) => void) {
  const bars = uPlot.paths.bars?.({ size: [0.78, 44] });
  const axis = { stroke: readStyle('--quiet'), font: FONT, ticks: { show: false } };
  return {
    width: 0,
    height: HEIGHT,
    padding: [12, 18, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false },
      // It stands in the middle of a day.
      move: (chart, left, top) => [left < 0 ? left : chart.valToPos(chart.posToIdx(left), 'x'), top],
    },
    scales: {
      x: { time: false, range: () => [-0.5, days.length - 0.5] },
      y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        splits: (chart) => datedDays(days.length, chart.bbox.width / devicePixelRatio),
        values: (_chart, splits) => splits.map((day) => monthDay(days[day] ?? '')),
      },
      {
        ...axis,
        grid: { stroke: readStyle('--edge'), width: 1 },
        size: 58,
        values: (_chart, splits) => splits.map(shortCount),
      },
    ],
    // Every bar begins at the bottom: the highest edge is drawn first, and the lower ones over it.
    series: [
      {},
      ...[...bands].reverse().map(({ name, slot }) => ({
        label: name,
        fill: ({ ctx }: uPlot) => createFill(ctx, slot),
        stroke: readStyle('--card'),
        width: 1,
        ...(bars !== undefined && { paths: bars }),
        points: { show: false },
      })),
    ],
    hooks: {
      setCursor: [({ cursor }) => onDay(cursor.idx ?? undefined)],
      draw: [({ root, bbox }) => root.style.setProperty('--day', `${bbox.width / devicePixelRatio / days.length}px`)],
    },
  } satisfies uPlot.Options;
}

/**
 * Draws tokens per day as stacked bars, as wide as its place.
 *
 * @param onDay told the position of the day that is pointed at, or undefined
 */
export function drawChart(
  place: HTMLElement,
  days: readonly string[],
  bands: readonly Band[],
  onDay: (day: number | undefined) => void,
): Chart {
  const edges = computeEdges(bands).map((values) => [...values]);
  const data: uPlot.AlignedData = [days.map((_, day) => day), ...edges.reverse()];
  const chart = new uPlot({ ...createOptions(days, bands, onDay), width: place.clientWidth }, data, place);
  const observer = new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: HEIGHT }));
  observer.observe(place);
  return {
    point: (day) => {
      const left = day === undefined ? -10 : chart.valToPos(day, 'x');
      chart.setCursor({ left, top: day === undefined ? -10 : 1 });
    },
    remove: () => {
      observer.disconnect();
      chart.destroy();
    },
  };
}
