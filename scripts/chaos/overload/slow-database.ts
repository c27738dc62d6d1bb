import { setTimeout as delay } from 'node:timers/promises';
import type { Findings } from './findings.js';
import { type LoadOutcome, openAgent, percentileOf, runOpenLoop, sendOnce } from './open-loop.js';
import { type Seen, startProbes } from './probes.js';
import type { OverloadStage } from './stage.js';
import { openStreams } from './streams.js';

/** How hard the server is loaded, and how slow its database is. */
export interface SlowDatabase {
  readonly name: string;
  readonly rate: number;
  readonly seconds: number;
  /** How much longer each call of the database takes, in seconds. */
  readonly pause: number;
  readonly patienceMs: number;
}

const BIN_MS = 5_000;
/** Uses that the database may have been sent at a moment: two batches of each of three lanes at the most. */
const MOST_IN_DATABASE = 6 * 256;
/** Most uses that may be under way at once: what waits in three lanes and what was sent. */
const MOST_AT_ONCE = 3 * 8 * 256 + MOST_IN_DATABASE;

const countBy = <T>(items: readonly T[], key: (item: T) => string) => {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} × ${name}`).join(', ');
};

function describeBins({ results }: LoadOutcome): string {
  const bins: number[][] = [];
  for (const { at, ms, status } of results) {
    if (status !== 200) continue;
    const bin = Math.floor(at / BIN_MS);
    bins[bin] = [...(bins[bin] ?? []), ms];
  }
  return Array.from(bins, (bin = []) => `${bin.length > 0 ? percentileOf(bin, 0.5) : '–'}`).join(', ');
}

function describeProbes(seen: readonly Seen[]): string[] {
  return [...new Set(seen.map(({ path }) => path))].map((path) => {
    const own = seen.filter((one) => one.path === path);
    const times = own.map(({ ms }) => ms);
    return `  ${path} ${countBy(own, ({ status }) => String(status))}, p50 ${percentileOf(times, 0.5)} ms, longest ${percentileOf(times, 1)} ms`;
  });
}

function judge(load: LoadOutcome): string[] {
  const { results, mostAtOnce } = load;
  const wrong = results.filter(
    ({ status, saysWhen }) => status !== 200 && status !== undefined && !(status === 503 && saysWhen),
  );
  const violations =
    wrong.length === 0 ? [] : [`answers that are none: ${countBy(wrong, ({ status }) => String(status))}`];
  if (mostAtOnce > MOST_AT_ONCE) violations.push(`${mostAtOnce} uses were under way at once`);
  const answered = results.filter(({ status }) => status === 200).length;
  if (answered === 0) violations.push('nobody was answered 200');
  return violations;
}

/** Loads the server while its database is slow, until every client has its answer or has left. */
export async function overloadSlowDatabase(stage: OverloadStage, options: SlowDatabase): Promise<Findings> {
  const { url, devices, countEvents } = stage;
  const before = await countEvents();
  await stage.slowDown(options.pause);
  const [stopProbes, streams] = [startProbes(url), await openStreams(stage)];
  const load = await runOpenLoop({
    ...options,
    url,
    next: (count) => {
      const device = devices[count % devices.length];
      return { method: 'POST', path: '/api/usage/log', token: device?.token ?? '', body: { model_type: 'gpt-5' } };
    },
  });
  const whenAllLeft = await countEvents();
  const seen = await stopProbes();
  const streamed = await streams.stop();
  const fresh = await sendOnce(
    openAgent(),
    url,
    { method: 'POST', path: '/api/usage/log', token: devices[0]?.token ?? '', body: { model_type: 'gpt-5' } },
    60_000,
  );
  await delay(options.pause * 2_000);
  await stage.slowDown(0);
  // A fresh use that was refused is not there; one without an answer may be, as any other.
  const written = (await countEvents()) - before - (fresh.status === 200 ? 1 : 0);
  const acknowledged = load.results.filter(({ status }) => status === 200);
  const refused = load.results.filter(({ status }) => status === 503);
  const unanswered = load.results.filter(({ status }) => status === undefined);
  const givenUp = unanswered.filter(({ ms }) => ms >= options.patienceMs);
  const broken = unanswered.length - givenUp.length;
  const unheard = written - acknowledged.length;
  const late = written - (whenAllLeft - before);
  const times = acknowledged.map(({ ms }) => ms);

  const violations = [...judge(load), ...streamed.violations];
  if (unheard < 0) violations.push(`${-unheard} uses were acknowledged and are not there`);
  if (unheard > MOST_IN_DATABASE) violations.push(`${unheard} uses were charged of which nobody heard`);
  if (late > MOST_IN_DATABASE) violations.push(`${late} uses were written after everybody had left`);
  // A machine that has no time for Postgres either may be right to call itself not ready.
  const isWrong = ({ path, status }: Seen) => status !== 200 && !(path === '/readyz' && status === 503);
  for (const { path, status } of seen.filter(isWrong)) violations.push(`${path} was ${status}`);
  const lines = [
    `${options.name}: ${load.results.length} uses, ${options.rate} a second, clients that wait ${options.patienceMs / 1_000} s, each call ${options.pause} s longer`,
    `  answered ${acknowledged.length}, refused ${refused.length}, given up ${givenUp.length}, broken ${broken}; most at once ${load.mostAtOnce}`,
    `  answered in p50 ${percentileOf(times, 0.5)} ms, p99 ${percentileOf(times, 0.99)} ms; p50 of every 5 s: ${describeBins(load)}`,
    `  refused in p50 ${percentileOf(
      refused.map(({ ms }) => ms),
      0.5,
    )} ms, p99 ${percentileOf(
      refused.map(({ ms }) => ms),
      0.99,
    )} ms`,
    `  charged and unheard ${unheard}, of these written after everybody had left ${late}; then a fresh use ${fresh.status ?? 'no answer'} in ${Math.round(fresh.ms)} ms`,
    streamed.line,
    ...describeProbes(seen),
  ];
  return { lines, violations };
}
