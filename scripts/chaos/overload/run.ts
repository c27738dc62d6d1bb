import { measureFairness } from './fairness.js';
import type { Findings } from './findings.js';
import { overloadSlowDatabase } from './slow-database.js';
import { openOverloadStage } from './stage.js';

/** How the server is overloaded. */
export interface OverloadOptions {
  /** Uses a second. */
  readonly rate: number;
  /** How long each part lasts. */
  readonly seconds: number;
}

const PAUSE_SECONDS = 1;
const PATIENT_MS = 60_000;
const IMPATIENT_MS = 5_000;

/** Overloads a server in every way, one after the other, and proves its books at last. */
export async function runOverload({ rate, seconds }: OverloadOptions, tell: (line: string) => void): Promise<Findings> {
  const stage = await openOverloadStage();
  try {
    const lines: string[] = [];
    const violations: string[] = [];
    const note = (findings: Findings) => {
      lines.push(...findings.lines);
      violations.push(...findings.violations);
      for (const line of findings.lines) tell(line);
    };
    const load = { rate, seconds, pause: PAUSE_SECONDS };
    note(await overloadSlowDatabase(stage, { ...load, name: 'patient clients', patienceMs: PATIENT_MS }));
    note(await overloadSlowDatabase(stage, { ...load, name: 'impatient clients', patienceMs: IMPATIENT_MS }));
    note(await measureFairness(stage, Math.max(1, seconds / 3), tell));
    const checks = await stage.postgres.sql<{ name: string; ok: boolean; discrepancies: unknown }>(
      'select name, ok, discrepancies from public.verify_ledger(true)',
    );
    for (const { name, ok, discrepancies } of checks) {
      if (!ok) violations.push(`the books: ${name}: ${JSON.stringify(discrepancies)}`);
    }
    return { lines, violations };
  } finally {
    await stage.close();
  }
}
