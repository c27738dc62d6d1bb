import type { Case, CaseSettings, Contestant } from './cases/case.js';
import type { Measurement } from './measure/closed-loop.js';
import { type CaseResult, toCaseResult } from './report/result.js';
import type { Stage } from './stage/stage.js';

/** Longest unmeasured run before the first round, in seconds. */
const WARM_UP_SECONDS = 1;

/** Told before each step of a case, with how many there are altogether. */
export type OnStep = (step: string, done: number, total: number) => void;

/**
 * Runs a case: all contestants take turns, so that the machine is as busy for one as for the others, and after each round
 * the server's books are verified.
 */
export async function runCase(
  stage: Stage,
  subject: Case,
  options: CaseSettings & { readonly rounds: number; readonly seconds: number },
  onStep: OnStep,
): Promise<CaseResult> {
  const rounds = Math.min(options.rounds, subject.mostRounds ?? options.rounds);
  const { contestants, close } = await subject.open(stage, options);
  const steps = (rounds + (subject.warmsUp ? 1 : 0)) * contestants.length;
  let done = 0;
  const run = async (contestant: Contestant, seconds: number, phase: string): Promise<Measurement> => {
    const { name, connections } = contestant;
    onStep(`${subject.name}, ${phase}: ${name}${connections === undefined ? '' : ` ×${connections}`}`, done, steps);
    const measured = await contestant.run(seconds);
    done += 1;
    return measured;
  };
  try {
    const measured: Measurement[][] = [];
    for (const contestant of subject.warmsUp ? contestants : []) {
      await run(contestant, Math.min(options.seconds, WARM_UP_SECONDS), 'warming up');
    }
    for (let round = 1; round <= rounds; round += 1) {
      const figures: Measurement[] = [];
      for (const contestant of contestants) {
        figures.push(await run(contestant, options.seconds, `round ${round} of ${rounds}`));
      }
      measured.push(figures);
      onStep(`${subject.name}, round ${round} of ${rounds}: verifying the books`, done, steps);
      await stage.verifyLedger();
    }
    return toCaseResult(subject, contestants, measured);
  } finally {
    await close();
  }
}
