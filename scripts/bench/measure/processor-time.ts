import type { Measurement } from './closed-loop.js';
import { readProcessorTimes, sumTree } from './processes.js';

/** The processes whose time is counted, each with all below it. */
export interface CountedProcesses {
  readonly node: number;
  readonly postgres: number;
}

/**
 * Counts the processor time that Node and Postgres take during a run.
 * @returns what the run measured, and the microseconds a request of each, where the system says so
 */
export async function withProcessorTime(
  { node, postgres }: CountedProcesses,
  run: () => Promise<Measurement>,
): Promise<Measurement> {
  const before = await readProcessorTimes();
  const own = process.cpuUsage();
  const measured = await run();
  const { user, system } = process.cpuUsage(own);
  const after = await readProcessorTimes();
  const { requests = 1 } = measured;
  const client = (user + system) / requests;
  if (before === undefined || after === undefined) return { ...measured, client };
  const perRequest = (root: number) => (sumTree(after, root) - sumTree(before, root)) / requests;
  return { ...measured, client, node: perRequest(node), postgres: perRequest(postgres) };
}
