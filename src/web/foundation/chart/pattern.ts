import { OTHERS } from './bands.js';

/** Side of a pattern's tile, in CSS pixels. */
const TILE = 8;

/** Reads a colour of the style sheet as it is just now: a canvas does not know light from dark. */
export function readColor(name: string): string {
  const probe = document.createElement('span');
  // Where the system chooses the colours, series would all get the same.
  if (name.startsWith('--series')) probe.style.setProperty('forced-color-adjust', 'none');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Lines over a tile, so that series can be told apart without seeing colours; the first has none. */
const LINES: readonly (readonly (readonly [x1: number, y1: number, x2: number, y2: number])[])[] = [
  [],
  // Three parallels, so that they go on in the next tile.
  [
    [-4, 4, 4, -4],
    [0, 8, 8, 0],
    [4, 12, 12, 4],
  ],
  [[0, 4, 8, 4]],
  [
    [-4, 4, 4, 12],
    [0, 0, 8, 8],
    [4, -4, 12, 4],
  ],
  [[4, 0, 4, 8]],
  [
    [0, 4, 8, 4],
    [4, 0, 4, 8],
  ],
  [[3, 4, 5, 4]],
];

function drawTile(tile: CanvasRenderingContext2D, slot: number): void {
  tile.fillStyle = readColor(`--series-${slot}`);
  tile.fillRect(0, 0, TILE, TILE);
  tile.strokeStyle = readColor('--series-line');
  tile.lineWidth = slot === OTHERS ? 2 : 1;
  tile.beginPath();
  for (const [x1, y1, x2, y2] of LINES[slot] ?? []) {
    tile.moveTo(x1, y1);
    tile.lineTo(x2, y2);
  }
  tile.stroke();
}

/** Returns what to fill a series' parts of a picture with, in device pixels. */
export function createFill(context: CanvasRenderingContext2D, slot: number): CanvasPattern | string {
  const size = Math.round(TILE * devicePixelRatio);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const tile = canvas.getContext('2d');
  if (tile === null) return readColor(`--series-${slot}`);
  tile.scale(size / TILE, size / TILE);
  drawTile(tile, slot);
  return context.createPattern(canvas, 'repeat') ?? readColor(`--series-${slot}`);
}

/** Paints a patch of a series' colour and pattern, to stand beside its name. */
export function paintSwatch(swatch: HTMLCanvasElement, slot: number): void {
  swatch.width = swatch.height = Math.round(2 * TILE * devicePixelRatio);
  const context = swatch.getContext('2d');
  if (context === null) return;
  context.fillStyle = createFill(context, slot);
  context.fillRect(0, 0, swatch.width, swatch.height);
}
