import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { readProcessorTimes } from '../bench/measure/processes.js';

const run = promisify(execFile);

/** Tells whether a process is there. */
export function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Lists a process and those it started. */
export async function listFamily(parent: number): Promise<number[]> {
  const processes = await readProcessorTimes();
  if (processes !== undefined) {
    return [parent, ...[...processes].flatMap(([pid, process]) => (process.parent === parent ? [pid] : []))];
  }
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']);
  const pairs = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  return [parent, ...pairs.flatMap(([pid = 0, of]) => (of === parent ? [pid] : []))];
}

/** Sends a signal to a process, if it is still there. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
