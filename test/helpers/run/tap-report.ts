/** How many assertions of a test file passed, failed and were skipped. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
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
