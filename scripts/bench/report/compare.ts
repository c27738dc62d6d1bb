import type { EarlierResult } from './document.js';
import type { CaseResult } from './result.js';

/** What may be worse without being a sign of anything, as a share; more where the rounds themselves lay further apart. */
const TOLERANCE = 0.25;

/** Compares the ratios of two results; figures that only one has are left out. @returns a line for each that is worse */
export function findWorse(earlier: EarlierResult, cases: readonly CaseResult[]): string[] {
  return cases.flatMap(({ name, compares, rows }) => {
    const before = earlier.cases.find((found) => found.name === name)?.rows ?? [];
    return rows.flatMap((row) => {
      const same = before.find((found) => found.name === row.name && found.connections === row.connections);
      return Object.entries(row.ratios).flatMap(([reference, now]) => {
        const then = same?.ratios[reference];
        if (then === undefined || then.median === null || !Number.isFinite(now.median)) return [];
        const change = now.median / then.median;
        // More a second is better, of all else less.
        const loss = compares === 'rate' ? 1 / change - 1 : change - 1;
        if (loss <= Math.max(TOLERANCE, now.spread + (then.spread ?? 0))) return [];
        const which = `${row.name}${row.connections === undefined ? '' : ` ×${row.connections}`} ÷ ${reference}`;
        return [`${name}: ${which} was ${then.median.toFixed(3)}, is ${now.median.toFixed(3)}`];
      });
    });
  });
}
