import { StartupError } from '../../src/config/startup-error.js';
import { runCommandLine } from '../command-line.js';
import type { Case } from './cases/case.js';
import { type BenchOptions, parseOptions, USAGE } from './options.js';
import { createProgress } from './progress.js';
import { findWorse } from './report/compare.js';
import { readResult, toDocument, writeResult } from './report/document.js';
import type { CaseResult } from './report/result.js';
import { formatTable } from './report/table.js';
import { runCase } from './run-case.js';
import { openStage } from './stage/stage.js';

const print = (text: string) => void process.stdout.write(text);

/** Runs the cases one after the other; one that fails is told, and does not keep others from being measured. */
async function runCases(options: BenchOptions): Promise<{ results: CaseResult[]; failed: string[] }> {
  const progress = createProgress(process.stderr);
  const stage = await openStage();
  const results: CaseResult[] = [];
  const failed: string[] = [];
  const run = async (subject: Case) => {
    try {
      const result = await runCase(stage, subject, options, progress.onStep);
      results.push(result);
      progress.clear();
      print(formatTable(result));
    } catch (error) {
      progress.clear();
      failed.push(subject.name);
      process.stderr.write(`${subject.name} failed: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  };
  try {
    for (const subject of options.cases) await run(subject);
  } finally {
    await stage.close();
  }
  return { results, failed };
}

async function bench(options: BenchOptions): Promise<void> {
  const earlier = options.check ? await readResult(options.json) : undefined;
  if (options.check && earlier === undefined) {
    throw new StartupError(`There is no ${options.json} to compare with: run once without --check`);
  }
  // The server and Postgres hear a Ctrl-C themselves; what was opened is closed once they are gone.
  process.on('SIGINT', () => {});
  const startedAt = new Date();
  const { results, failed } = await runCases(options);
  if (process.platform !== 'linux') print('\nThis system does not tell the processor time of other processes.\n');
  const worse = earlier === undefined ? [] : findWorse(earlier, results);
  if (failed.length > 0) throw new StartupError(`Not measured: ${failed.join(', ')}`);
  if (earlier === undefined) await writeResult(options.json, toDocument(startedAt, options, results));
  else if (worse.length > 0) throw new StartupError(`Worse than on ${earlier.started_at}:\n${worse.join('\n')}`);
  const where =
    earlier === undefined ? `All figures: ${options.json}` : `No ratio is worse than on ${earlier.started_at}.`;
  print(`\nEvery round ended with books that add up. ${where}\n`);
}

// npm run bench: compares the server with what it could be at best, and with what it would be otherwise.
await runCommandLine(USAGE, (args) => bench(parseOptions(args)));
