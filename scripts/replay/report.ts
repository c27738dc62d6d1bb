import type { WriteStream } from 'node:tty';
import { answeredOf, type Tally } from './prompts.js';

const BAR_WIDTH = 30;
const REDRAW_MS = 100;
const LINE_MS = 2_000;

const count = (n: number) => n.toLocaleString('en-US');
const milliseconds = (microseconds: number) => `${(microseconds / 1_000).toFixed(1)} ms`;

function progressOf(tally: Tally, rows: number): string {
  const answered = answeredOf(tally);
  const retried = tally.retried === 0 ? '' : `, ${count(tally.retried)} retried`;
  return `${count(answered)} of ${count(rows)} prompts (${Math.floor((100 * answered) / rows)} %)${retried}`;
}

function barOf(tally: Tally, rows: number): string {
  const filled = Math.floor((BAR_WIDTH * answeredOf(tally)) / rows);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${progressOf(tally, rows)}`;
}

/**
 * Shows how far the run is: a bar on a terminal, now and then a line elsewhere.
 * @returns ends it, and leaves the last state on the terminal
 */
export function showProgress(output: WriteStream | NodeJS.WriteStream, tally: Tally, rows: number): () => void {
  if (!output.isTTY) {
    const timer = setInterval(() => output.write(`${progressOf(tally, rows)}\n`), LINE_MS);
    return () => clearInterval(timer);
  }
  const draw = () => output.write(`\r\x1b[K${barOf(tally, rows)}`);
  const timer = setInterval(draw, REDRAW_MS);
  return () => {
    clearInterval(timer);
    draw();
    output.write('\n');
  };
}

/** The outcome of a run, for people. */
export function summaryOf(tally: Tally, seconds: number): string {
  const codes = [...tally.refused].sort().map(([code, times]) => `${code} ${count(times)}`);
  const refused = [...tally.refused.values()].reduce((sum, times) => sum + times, 0);
  const percentiles = [50, 95, 99].map((p) => `p${p} ${milliseconds(tally.latency.percentile(p))}`);
  const lines = [
    ['sent', count(tally.sent)],
    ['recorded', count(tally.recorded)],
    ['refused', [count(refused), ...codes].join(', ')],
    ['retried', count(tally.retried)],
    ['time', `${seconds.toFixed(2)} s`],
    ['rate', `${count(Math.round(tally.sent / seconds))} requests/s`],
    ['latency', percentiles.join(', ')],
  ];
  return lines.map(([name = '', value = '']) => `${name.padEnd(10)}${value}\n`).join('');
}
