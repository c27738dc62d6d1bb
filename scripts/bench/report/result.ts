import type { Case, Contestant } from '../cases/case.js';
import type { Measurement } from '../measure/closed-loop.js';
import { median, spread } from '../measure/statistics.js';

/** A figure over all rounds. */
export interface Figure {
  readonly median: number;
  /** Half of what the rounds lie apart, as a share of the median. */
  readonly spread: number;
  readonly rounds: readonly number[];
}

/** What a contestant was measured with. */
export interface Row {
  readonly name: string;
  readonly connections?: number;
  readonly isReference: boolean;
  readonly figures: Readonly<Record<string, Figure>>;
  /** The compared figure divided by that of each reference, in the same round. */
  readonly ratios: Readonly<Record<string, Figure>>;
}

/** The answer of a case. */
export interface CaseResult {
  readonly name: string;
  readonly question: string;
  readonly compares: string;
  readonly rows: readonly Row[];
}

function toFigure(values: readonly (number | undefined)[]): Figure {
  const rounds = values.filter((value) => value !== undefined);
  return { median: median(rounds), spread: spread(rounds), rounds };
}

/**
 * Finds what a contestant is compared with in a round: the reference with as many connections, or else the one that
 * answered most requests a second.
 */
function findRival(
  contestants: readonly Contestant[],
  round: readonly Measurement[],
  reference: string,
  connections: number | undefined,
): Measurement {
  const rivals = contestants.flatMap((rival, n) =>
    rival.name === reference ? [{ rival, measured: round[n] ?? {} }] : [],
  );
  const equal = rivals.find(({ rival }) => rival.connections === connections);
  const best = rivals.toSorted((a, b) => (b.measured['rate'] ?? 0) - (a.measured['rate'] ?? 0))[0];
  return (equal ?? best)?.measured ?? {};
}

const divide = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a / b;
const subtract = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a - b;

/** Puts together what the rounds of a case measured, by contestant. @param measured by round, then by contestant */
export function toCaseResult(
  { name, question, compares, adds = [] }: Case,
  contestants: readonly Contestant[],
  measured: readonly (readonly Measurement[])[],
): CaseResult {
  const references = [...new Set(contestants.filter(({ isReference }) => isReference).map((rival) => rival.name))];
  const rows = contestants.map((contestant, position): Row => {
    const own = measured.map((round) => round[position] ?? {});
    const names = [...new Set(own.flatMap((figures) => Object.keys(figures)))];
    const against = contestant.against ?? (contestant.isReference ? [] : references);
    const compare = (reference: string, figure: string, combine: typeof divide) =>
      toFigure(
        measured.map((round, n) => {
          const rival = findRival(contestants, round, reference, contestant.connections);
          return combine(own[n]?.[figure], rival[figure]);
        }),
      );
    const added = against.flatMap((reference) =>
      adds.map((figure) => [`added ${figure}`, compare(reference, figure, subtract)] as const),
    );
    return {
      name: contestant.name,
      ...(contestant.connections !== undefined && { connections: contestant.connections }),
      isReference: contestant.isReference ?? false,
      figures: Object.fromEntries([
        ...names.map((figure) => [figure, toFigure(own.map((figures) => figures[figure]))] as const),
        ...added,
      ]),
      ratios: Object.fromEntries(against.map((reference) => [reference, compare(reference, compares, divide)])),
    };
  });
  return { name, question, compares, rows };
}
