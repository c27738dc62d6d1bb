import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import pMap from 'p-map';
import type { Connections } from './connections.js';
import { toRefusalCode } from './devices.js';
import type { ReplayOptions } from './options.js';
import { type Outcome, sendWithRetries } from './retry.js';

/** What happened so far. */
export interface Tally {
  /** Requests sent, repetitions included. */
  sent: number;
  recorded: number;
  retried: number;
  /** How often the server refused, by its code. */
  readonly refused: Map<string, number>;
  /** Why the run was given up, if it was. */
  problem: string | undefined;
  /** Of the answers, in microseconds. */
  readonly latency: RecordableHistogram;
}

export function createTally(): Tally {
  return { sent: 0, recorded: 0, retried: 0, refused: new Map(), problem: undefined, latency: createHistogram() };
}

export function countRefused(tally: Tally): number {
  return [...tally.refused.values()].reduce((sum, count) => sum + count, 0);
}

function note(tally: Tally, { reply, latencyMs, problem }: Outcome): void {
  if (reply === undefined) {
    tally.problem ??= problem;
    return;
  }
  tally.latency.record(Math.max(1, Math.round(latencyMs * 1_000)));
  if (reply.status === 200) {
    tally.recorded += 1;
    return;
  }
  const code = toRefusalCode(reply);
  tally.refused.set(code, (tally.refused.get(code) ?? 0) + 1);
}

/** Yields the numbers of the rows, until the run is given up. */
function* rowNumbers(rows: number, tally: Tally): Generator<number> {
  for (let row = 0; row < rows && tally.problem === undefined; row += 1) yield row;
}

/**
 * Records one prompt per row, spread over the devices in turn, as fast as the server takes them. A row's device and
 * idempotency key follow from its number and the run alone. Once a prompt gets no answer at all the rest is left out:
 * the server is gone, and the run can be resumed.
 */
export async function sendPrompts(
  connections: Connections,
  tokens: readonly string[],
  rows: number,
  options: ReplayOptions,
  tally: Tally,
): Promise<void> {
  const body = JSON.stringify({ model_type: options.model });
  const devices = tokens.map((token) => ({ authorization: `Bearer ${token}` }));
  const sendRow = async (row: number) => {
    const headers = { ...devices[row % devices.length], 'idempotency-key': `${options.run}-${row + 1}` };
    const send = () => {
      tally.sent += 1;
      return connections.post('/usage/log', headers, body);
    };
    const outcome = await sendWithRetries(send, connections.closed, () => {
      tally.retried += 1;
    });
    note(tally, outcome);
  };
  await pMap(rowNumbers(rows, tally), sendRow, { concurrency: options.concurrency });
}
