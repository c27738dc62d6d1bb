import { readdir, readFile } from 'node:fs/promises';

/** A process as `/proc` describes it; times include those of its children that ended. */
interface ProcessTimes {
  readonly parent: number;
  /** Processor time in microseconds. */
  readonly microseconds: number;
}

/** Linux counts processor time in hundredths of a second for programs, whatever the kernel's own clock is. */
const MICROSECONDS_PER_TICK = 10_000;

/** Parses `/proc/<pid>/stat`; the name in parentheses may hold anything, so fields are counted after it. */
function parseStat(stat: string): ProcessTimes {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [userTime, systemTime, userTimeOfEnded, systemTimeOfEnded] = fields.slice(11, 15).map(Number);
  const ticks = (userTime ?? 0) + (systemTime ?? 0) + (userTimeOfEnded ?? 0) + (systemTimeOfEnded ?? 0);
  return { parent: Number(fields[1]), microseconds: ticks * MICROSECONDS_PER_TICK };
}

/** The processor times of all processes of this machine at a moment. */
export type ProcessorTimes = ReadonlyMap<number, ProcessTimes>;

/** Reads the processor times of all processes; undefined where the system has no `/proc`. */
export async function readProcessorTimes(): Promise<ProcessorTimes | undefined> {
  const names = process.platform === 'linux' ? await readdir('/proc').catch(() => []) : [];
  const pids = names.map(Number).filter(Number.isInteger);
  const entries = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
      return stat === undefined ? [] : [[pid, parseStat(stat)] as const];
    }),
  );
  return pids.length === 0 ? undefined : new Map(entries.flat());
}

/** Sums up the processor time, in microseconds, of a process and all below it. */
export function sumTree(times: ProcessorTimes, root: number): number {
  let sum = times.get(root)?.microseconds ?? 0;
  for (const [pid, { parent }] of times) if (parent === root) sum += sumTree(times, pid);
  return sum;
}

/** Returns the memory of a process and all below it in bytes; undefined where the system does not say. */
export async function readMemory(root: number): Promise<number | undefined> {
  const times = await readProcessorTimes();
  if (times === undefined) return undefined;
  const status = await readFile(`/proc/${root}/status`, 'utf8').catch(() => '');
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  const children = [...times].filter(([, { parent }]) => parent === root).map(([pid]) => readMemory(pid));
  const below = await Promise.all(children);
  return below.reduce<number>((sum, bytes) => sum + (bytes ?? 0), Number(kilobytes) * 1_024);
}
