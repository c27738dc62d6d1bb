import { SingleBar } from 'cli-progress';
import { countRefused, type Tally } from './prompts.js';

const REDRAW_MS = 100;
const LINE_MS = 2_000;

const formatCount = (n: number) => n.toLocaleString('en-US');
const formatMicroseconds = (microseconds: number) => `${(microseconds / 1_000).toFixed(1)} ms`;

function countAnswered(tally: Tally): number {
  return tally.recorded + countRefused(tally);
}

function formatProgress(tally: Tally, rows: number): string {
  const answered = countAnswered(tally);
  const retried = tally.retried === 0 ? '' : `, ${formatCount(tally.retried)} retried`;
  const percent = Math.floor((100 * answered) / rows);
  return `${formatCount(answered)} of ${formatCount(rows)} prompts (${percent} %)${retried}`;
}

function showBar(output: NodeJS.WriteStream, tally: Tally, rows: number): () => void {
  // Ctrl-C ends the process as ever, so that the bar need not listen for it.
  const bar = new SingleBar({
    format: '{bar} {progress}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 30,
    stream: output,
    gracefulExit: false,
  });
  const update = () => bar.update(countAnswered(tally), { progress: formatProgress(tally, rows) });
  bar.start(rows, 0, { progress: formatProgress(tally, rows) });
  const timer = setInterval(update, REDRAW_MS);
  return () => {
    clearInterval(timer);
    update();
    bar.stop();
  };
}

/**
 * Shows how far the run is: with a bar on a terminal, with a line now and then elsewhere.
 * @returns ends it, and leaves the last state on the terminal
 */
export function showProgress(output: NodeJS.WriteStream, tally: Tally, rows: number): () => void {
  if (output.isTTY) return showBar(output, tally, rows);
  const timer = setInterval(() => output.write(`${formatProgress(tally, rows)}\n`), LINE_MS);
  return () => clearInterval(timer);
}

/** Formats the outcome of a run for people. */
export function formatSummary(tally: Tally, seconds: number): string {
  const codes = [...tally.refused].sort().map(([code, times]) => `${code} ${formatCount(times)}`);
  const percentiles = [50, 95, 99].map((p) => `p${p} ${formatMicroseconds(tally.latency.percentile(p))}`);
  const lines = [
    ['sent', formatCount(tally.sent)],
    ['recorded', formatCount(tally.recorded)],
    ['refused', [formatCount(countRefused(tally)), ...codes].join(', ')],
    ['retried', formatCount(tally.retried)],
    ['time', `${seconds.toFixed(2)} s`],
    ['rate', `${formatCount(Math.round(tally.sent / seconds))} requests/s`],
    ['latency', percentiles.join(', ')],
  ];
  return lines.map(([name = '', value = '']) => `${name.padEnd(10)}${value}\n`).join('');
}
