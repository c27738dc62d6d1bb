import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import pLimit from 'p-limit';
import { openSharedCluster, SHARED_CLUSTER_VARIABLE } from '../db/shared-cluster.js';
import { FILE_TIMEOUT_S, startNode } from './processes.js';
import { addUp, type Counts, readCounts, skippedTests } from './tap-report.js';

/** Later than tap gives up and tells which test it was. */
const KILL_TIMEOUT_MS = (FILE_TIMEOUT_S + 10) * 1_000;
/** Tests wait for processes, browsers and the database half of the time: twice as many files as cores keep those busy. */
const JOBS = availableParallelism() * 2 + 1;
/** Folders whose files take longest: started first, so that none runs alone at the end. */
const SLOW_FOLDERS = ['test/server/', 'test/scripts/', 'test/web/'];

const NOT_RUN: Counts = { passed: 0, failed: 1, skipped: 0 };

const print = (line: string) => void process.stdout.write(`${line}\n`);
const isSlow = (test: string) => SLOW_FOLDERS.some((folder) => test.startsWith(folder));

/** Runs a compiled test file, and prints one line about it, or all it printed where it failed. */
async function runTestFile(test: string, clusterUrl: string): Promise<Counts> {
  const started = performance.now();
  const child = startNode([join('dist', test.replace(/\.ts$/, '.js'))], ['ignore', 'pipe', 'pipe'], {
    [SHARED_CLUSTER_VARIABLE]: clusterUrl,
  });
  let timedOut = false;
  const timeout = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, KILL_TIMEOUT_MS);
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('the output of a test file must be piped');
  const [report, complaints, [code, signal]] = await Promise.all([text(stdout), text(stderr), once(child, 'close')]);
  clearTimeout(timeout);

  const counts = readCounts(report, code === 0);
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  print(`${counts.failed > 0 ? 'FAILED' : 'passed'} ${seconds} s ${String(counts.passed).padStart(6)}  ${test}`);
  for (const skipped of skippedTests(report)) print(`         skipped: ${skipped}`);
  if (counts.failed > 0) {
    const end = timedOut ? `stopped after ${KILL_TIMEOUT_MS / 1_000} s` : `ended with ${code ?? signal}`;
    print(`${report}${complaints}${test} ${end}`);
  }
  return counts;
}

/**
 * Runs compiled test files side by side over one Postgres, each in a process of its own, and prints how many of their
 * assertions passed.
 *
 * @returns whether all did
 */
export async function runTestFiles(tests: readonly string[]): Promise<boolean> {
  const cluster = await openSharedCluster();
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => (interrupted = true));
  try {
    const ordered = tests.toSorted((one, other) => Number(isSlow(other)) - Number(isSlow(one)));
    const limit = pLimit(JOBS);
    const counts = await Promise.all(
      ordered.map((test) => limit(async () => (interrupted ? NOT_RUN : runTestFile(test, cluster.adminUrl)))),
    );
    const failedTests = ordered.filter((_, index) => (counts[index]?.failed ?? 1) > 0);
    for (const test of failedTests) print(`FAILED ${test}`);
    const { passed, failed, skipped } = addUp(counts);
    print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    return failed === 0 && passed > 0;
  } finally {
    await cluster.remove();
  }
}
