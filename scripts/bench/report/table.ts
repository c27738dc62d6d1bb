import type { CaseResult, Figure, Row } from './result.js';

/** The figures a table shows, in this order, where they were measured. */
const COLUMNS: readonly { readonly figure: string; readonly title: string; readonly digits: number }[] = [
  { figure: 'rate', title: 'per s', digits: 0 },
  { figure: 'first', title: 'first byte ms', digits: 2 },
  { figure: 'added first', title: 'added', digits: 2 },
  { figure: 'p50', title: 'p50 ms', digits: 2 },
  { figure: 'added p50', title: 'added', digits: 2 },
  { figure: 'p99', title: 'p99 ms', digits: 2 },
  { figure: 'seconds', title: 'seconds', digits: 2 },
  { figure: 'megabytes', title: 'MB', digits: 0 },
  { figure: 'kilobytes', title: 'KB each', digits: 0 },
  { figure: 'node', title: 'Node µs', digits: 0 },
  { figure: 'postgres', title: 'Postgres µs', digits: 0 },
];
const MARGIN = 2;

const format = (value: number, digits: number) =>
  Number.isFinite(value)
    ? value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : '–';

const formatFigure = (figure: Figure | undefined, digits: number) =>
  figure === undefined ? '' : format(figure.median, digits);

/** Formats a ratio so that two digits say something, and how far the rounds lie apart. */
function formatRatio(ratio: Figure | undefined): string {
  if (ratio === undefined || !Number.isFinite(ratio.median)) return '';
  const digits = ratio.median >= 10 ? 1 : ratio.median >= 0.1 ? 2 : 4;
  return `${format(ratio.median, digits)} ±${format(ratio.spread * 100, 0)} %`;
}

function toCells(row: Row, columns: typeof COLUMNS, compares: string, references: readonly string[]): string[] {
  const compared = row.figures[compares];
  return [
    row.name,
    row.connections === undefined ? '' : String(row.connections),
    ...columns.map(({ figure, digits }) => formatFigure(row.figures[figure], digits)),
    compared === undefined ? '' : `±${format(compared.spread * 100, 0)} %`,
    ...references.map((reference) => formatRatio(row.ratios[reference])),
  ];
}

/** Formats the answer of a case: a line for each contestant, medians of the rounds. */
export function formatTable({ name, question, compares, rows }: CaseResult): string {
  const columns = COLUMNS.filter(({ figure }) => rows.some((row) => row.figures[figure] !== undefined));
  const references = [...new Set(rows.flatMap(({ ratios }) => Object.keys(ratios)))];
  const compared = COLUMNS.find(({ figure }) => figure === compares)?.title ?? compares;
  const titles = ['', 'at once', ...columns.map(({ title }) => title), 'spread', ...references.map((r) => `÷ ${r}`)];
  const lines = [titles, ...rows.map((row) => toCells(row, columns, compares, references))];
  const widths = titles.map((_, n) => Math.max(...lines.map((cells) => cells[n]?.length ?? 0)) + MARGIN);
  const body = lines.map((cells) =>
    cells.map((cell, n) => (n === 0 ? cell.padEnd(widths[n] ?? 0) : cell.padStart(widths[n] ?? 0))).join(''),
  );
  return `\n${name}: ${question} (spread and ratios: ${compared})\n${body.map((line) => `${line.trimEnd()}\n`).join('')}`;
}
