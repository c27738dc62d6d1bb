import uPlot from 'uplot';
import { type Band, computeEdges } from './bands.js';
import { createFill, readColor } from './pattern.js';

const HEIGHT = 320;
/** CSS pixels a label below the chart needs. */
const LABEL_WIDTH = 64;
const FONT = '12px system-ui, sans-serif';

/** What a chart shows. */
export interface Drawing {
  readonly places: readonly string[];
  readonly bands: readonly Band[];
  /** Labels below the chart, and beside it. */
  readonly labelPlace: (place: string) => string;
  readonly labelValue: (value: number) => string;
  /** Told the position of the place that is pointed at, or undefined. */
  readonly onPlace: (position: number | undefined) => void;
}

/** The chart that is shown. */
export interface Chart {
  /** Points at a place, by its position, or at none. */
  readonly point: (position: number | undefined) => void;
  readonly remove: () => void;
}

/** Which places have their label written below: the last one, and as many before as there is room for. */
function labelled(count: number, width: number): number[] {
  const step = Math.ceil(count / Math.max(1, Math.floor(width / LABEL_WIDTH)));
  return [...Array(count).keys()].filter((place) => (count - 1 - place) % step === 0);
}

function createOptions({ places, bands, labelPlace, labelValue, onPlace }: Drawing) {
  const bars = uPlot.paths.bars?.({ size: [0.78, 44] });
  const axis = { stroke: readColor('--quiet'), font: FONT, ticks: { show: false } };
  return {
    width: 0,
    height: HEIGHT,
    padding: [12, 18, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false },
      // It stands in the middle of a bar.
      move: (chart, left, top) => [left < 0 ? left : chart.valToPos(chart.posToIdx(left), 'x'), top],
    },
    scales: {
      x: { time: false, range: () => [-0.5, places.length - 0.5] },
      y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        splits: (chart) => labelled(places.length, chart.bbox.width / devicePixelRatio),
        values: (_chart, splits) => splits.map((place) => labelPlace(places[place] ?? '')),
      },
      {
        ...axis,
        grid: { stroke: readColor('--edge'), width: 1 },
        size: 58,
        values: (_chart, splits) => splits.map(labelValue),
      },
    ],
    // Every bar begins at the bottom: the highest edge is drawn first, and the lower ones over it.
    series: [
      {},
      ...[...bands].reverse().map(({ name, slot }) => ({
        label: name,
        fill: ({ ctx }: uPlot) => createFill(ctx, slot),
        stroke: readColor('--card'),
        width: 1,
        ...(bars !== undefined && { paths: bars }),
        points: { show: false },
      })),
    ],
    hooks: {
      setCursor: [({ cursor }) => onPlace(cursor.idx ?? undefined)],
      draw: [({ root, bbox }) => root.style.setProperty('--bar', `${bbox.width / devicePixelRatio / places.length}px`)],
    },
  } satisfies uPlot.Options;
}

/** Draws values as stacked bars, as wide as their container. */
export function drawChart(container: HTMLElement, drawing: Drawing): Chart {
  const edges = computeEdges(drawing.bands).map((values) => [...values]);
  const data: uPlot.AlignedData = [drawing.places.map((_, position) => position), ...edges.reverse()];
  const chart = new uPlot({ ...createOptions(drawing), width: container.clientWidth }, data, container);
  const observer = new ResizeObserver(() => chart.setSize({ width: container.clientWidth, height: HEIGHT }));
  observer.observe(container);
  return {
    point: (position) => {
      const left = position === undefined ? -10 : chart.valToPos(position, 'x');
      chart.setCursor({ left, top: position === undefined ? -10 : 1 });
    },
    remove: () => {
      observer.disconnect();
      chart.destroy();
    },
  };
}
