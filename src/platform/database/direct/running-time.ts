import { setTimeout as delay, setImmediate as endOfTurn } from 'node:timers/promises';

/** How finely time is counted, in milliseconds. */
const SLICE_MS = 100;

/**
 * Lets what arrived meanwhile be read: after a stretch in which the event loop stood still, timers run before sockets are.
 */
export async function readArrived(): Promise<void> {
  await endOfTurn();
}

/**
 * Waits for so much time in which the event loop ran, and has what arrived read before it ends. A stretch in which it stood
 * still counts for no more than a slice: whoever did not listen cannot say that it was silent, and a machine that keeps us
 * waiting keeps others, too.
 */
export async function waitRunning(ms: number, signal: AbortSignal): Promise<void> {
  for (let waited = 0; waited < ms; waited += SLICE_MS) await delay(SLICE_MS, undefined, { signal, ref: false });
  await readArrived();
}
