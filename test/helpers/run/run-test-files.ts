import { availableParallelism } from 'node:os';
import { openSharedCluster } from '../db/shared-cluster.js';
import { addUp, type Counts, skippedTests } from './tap-report.js';
import { type FileRun, startTestProcess, type TestProcess } from './test-process.js';

/** Tests wait for processes, browsers and the database half of the time: twice as many files as cores keep those busy. */
const JOBS = availableParallelism() * 2 + 1;
/** Which files take longest: started first, so that none runs alone at the end. */
const SLOW = ['test/auth/canary', 'test/server/', 'test/scripts/', 'test/web/'];
/** Files a process runs before another takes its place, so that memory stays bounded. */
const FILES_PER_PROCESS = 20;

const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };

const print = (line: string) => void process.stdout.write(`${line}\n`);
const isSlow = (test: string) => SLOW.some((start) => test.startsWith(start));

/** Adds up what a file's process said of it: one that died, or that failed for another reason, counts one failure more. */
function toCounts({ answer }: FileRun): Counts {
  if (answer === undefined) return FAILED;
  const { pass = 0, fail = 0, skip = 0 } = answer.counts;
  return { passed: pass, failed: answer.passed ? fail : Math.max(fail, 1), skipped: skip };
}

/** Runs a test file, and prints one line about it, or all it printed where it failed. */
async function runTestFile(process: TestProcess, test: string): Promise<Counts> {
  const started = performance.now();
  const run = await process.run(test);
  const counts = toCounts(run);
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  print(`${counts.failed > 0 ? 'FAILED' : 'passed'} ${seconds} s ${String(counts.passed).padStart(6)}  ${test}`);
  for (const skipped of skippedTests(run.report)) print(`         skipped: ${skipped}`);
  if (counts.failed > 0) {
    print(run.report);
    if (run.answer === undefined) print(`The process of ${test} died or was stopped, as it took too long.`);
  }
  return counts;
}

/** Lets a process end, and says so where it does not by itself. */
async function endProcess(process: TestProcess, tests: readonly string[]): Promise<Counts[]> {
  if (await process.end()) return [];
  print(`FAILED One of these left something open that kept its process from ending: ${tests.join(', ')}`);
  return [FAILED];
}

/**
 * Runs compiled test files side by side over one Postgres, each after others in one of a few processes, and prints how many
 * of their assertions passed.
 *
 * @returns whether all did
 */
export async function runTestFiles(tests: readonly string[]): Promise<boolean> {
  const cluster = await openSharedCluster();
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => (interrupted = true));
  const waiting = tests.toSorted((one, other) => Number(isSlow(other)) - Number(isSlow(one)));
  const failedTests: string[] = [];

  const runSome = async (): Promise<Counts[]> => {
    const counts: Counts[] = [];
    while (waiting.length > 0 && !interrupted) {
      const process = startTestProcess(cluster.adminUrl);
      const ran: string[] = [];
      while (process.alive && ran.length < FILES_PER_PROCESS && !interrupted) {
        const test = waiting.shift();
        if (test === undefined) break;
        ran.push(test);
        const result = await runTestFile(process, test);
        counts.push(result);
        if (result.failed > 0) failedTests.push(test);
      }
      counts.push(...(await endProcess(process, ran)));
    }
    return counts;
  };

  try {
    const counts = (await Promise.all(Array.from({ length: JOBS }, runSome))).flat();
    for (const test of failedTests) print(`FAILED ${test}`);
    const { passed, failed, skipped } = addUp([...counts, ...waiting.map(() => FAILED)]);
    print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    return failed === 0 && passed > 0;
  } finally {
    await cluster.remove();
  }
}
