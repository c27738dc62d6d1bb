/** How many assertions of a test file passed, failed and were skipped. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Reads the totals tap ends a report with, as `# { total: 9, pass: 8, skip: 1 }`. A file that did not come that far, or
 * whose process failed for another reason, counts one failure more.
 */
export function readCounts(report: string, exitedWell: boolean): Counts {
  const totals = report.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? '';
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0);
  const [passed, failed] = [count('pass'), count('fail')];
  const complete = totals !== '' && (exitedWell || failed > 0);
  return { passed, failed: complete ? failed : failed + 1, skipped: count('skip') };
}

/** Returns the names of skipped tests, each with its reason. */
export function skippedTests(report: string): string[] {
  return [...report.matchAll(/^ *ok \d+ - (.*?)(?: # time=\S+)? # SKIP ?(.*)$/gim)].map(
    ([, name, reason]) => `${name} (${reason || 'no reason given'})`,
  );
}

export function addUp(counts: readonly Counts[]): Counts {
  const total = (key: keyof Counts) => counts.reduce((sum, one) => sum + one[key], 0);
  return { passed: total('passed'), failed: total('failed'), skipped: total('skipped') };
}
