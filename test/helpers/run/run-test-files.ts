import { availableParallelism } from 'node:os';
import { openSharedCluster } from '../db/shared-cluster.js';
import { addUp, type Counts, skippedTests } from './tap-report.js';
import { type FileRun, startTestProcess, type TestProcess } from './test-process.js';

/** Tests wait for processes, browsers and the database half of the time: twice as many files as cores keep those busy. */
const JOBS = availableParallelism() * 2 + 1;
/** Which files take longest: started first, so that none runs alone at the end. */
const SLOW = ['auth/canary', 'server/', 'scripts/', 'web/', 'examples/', 'supabase/', 'project/'].map(
  (start) => `test/${start}`,
);
/**
 * Files that drive programs beside the test, such as browsers, proxies, mail servers, commands or whole servers: on a
 * machine that is too busy for them one may give up without a fault of ours. Such a file that fails is run once more, when
 * nothing else runs. Not those about tokens and identity: what fails there once is wrong.
 */
const TRIED_TWICE = [
  'server/',
  'web/',
  'examples/',
  'scripts/',
  'platform/',
  'features/alerts/',
  'features/webhooks/',
].map((start) => `test/${start}`);
/** More than so many have failed for another reason than a busy machine. */
const MOST_TRIED_TWICE = 3;
/** Files a process runs before another takes its place, so that memory stays bounded. */
const FILES_PER_PROCESS = 20;

const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };

const print = (line: string) => void process.stdout.write(`${line}\n`);
const isSlow = (test: string) => SLOW.some((start) => test.startsWith(start));
const isTriedTwice = (test: string) => TRIED_TWICE.some((start) => test.startsWith(start));

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

interface Failure {
  readonly test: string;
  readonly counts: Counts;
}

/** Runs files that failed once more, one after the other where each may be; returns what failed for good, and all counts. */
async function runAgain(failures: readonly Failure[], adminUrl: string): Promise<[Failure[], Counts[]]> {
  const isTried = ({ test }: Failure) => isTriedTwice(test) && failures.length <= MOST_TRIED_TWICE;
  const lasting = failures.filter((failure) => !isTried(failure));
  const counts = lasting.map((failure) => failure.counts);
  for (const { test } of failures.filter(isTried)) {
    print(`${test} failed beside others, and is run once more, alone:`);
    const process = startTestProcess(adminUrl);
    const result = await runTestFile(process, test);
    counts.push(result, ...(await endProcess(process, [test])));
    if (result.failed > 0) lasting.push({ test, counts: result });
  }
  return [lasting, counts];
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
  const failures: Failure[] = [];

  const runSome = async (): Promise<Counts[]> => {
    const passed: Counts[] = [];
    while (waiting.length > 0 && !interrupted) {
      const process = startTestProcess(cluster.adminUrl);
      const ran: string[] = [];
      while (process.alive && ran.length < FILES_PER_PROCESS && !interrupted) {
        const test = waiting.shift();
        if (test === undefined) break;
        ran.push(test);
        const counts = await runTestFile(process, test);
        if (counts.failed > 0) failures.push({ test, counts });
        else passed.push(counts);
      }
      passed.push(...(await endProcess(process, ran)));
    }
    return passed;
  };

  try {
    const first = (await Promise.all(Array.from({ length: JOBS }, runSome))).flat();
    // Nobody waits for a second time when the run is interrupted, and then it is no success.
    const [lasting, second] = interrupted ? [failures, [FAILED]] : await runAgain(failures, cluster.adminUrl);
    for (const { test } of lasting) print(`FAILED ${test}`);
    const { passed, failed, skipped } = addUp([...first, ...second, ...waiting.map(() => FAILED)]);
    print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    return failed === 0 && passed > 0;
  } finally {
    await cluster.remove();
  }
}
