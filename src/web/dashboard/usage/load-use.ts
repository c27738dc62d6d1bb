import type { Static } from '@sinclair/typebox';
import type { UsageSummarySchema } from '../../../features/usage/schemas.js';
import { type Cell, listPlaces, type Series, toSeries } from '../../foundation/chart/bands.js';
import { api } from '../../foundation/session/person-session.js';
import { type Days, toDaysQuery } from './days.js';
import { nameOf } from './names.js';

type Summary = Static<typeof UsageSummarySchema>;
/** Sums over usage events, and what they are grouped by. */
export type UsageRow = Summary['series'][number];

/** What was used in a range of days. */
export interface Use {
  readonly totals: Summary['totals'];
  readonly days: readonly string[];
  /** Tokens by provider and day, largest first. */
  readonly providers: readonly Series[];
  /** Sums by provider and model, largest first. */
  readonly models: readonly UsageRow[];
  /** Sums by the way it came here, such as chat, largest first. */
  readonly sources: readonly UsageRow[];
}

const SUMS = ['events', 'total_tokens', 'cost', 'nano_usd'] as const;

const toCell = ({ day = '', provider = '', total_tokens }: UsageRow): Cell => ({
  place: day,
  name: nameOf(provider),
  value: total_tokens,
});

/** Adds up the rows that have the same in some of what they are grouped by, and orders them by tokens. */
function sumBy(rows: readonly UsageRow[], groups: readonly ('provider' | 'model' | 'source')[]): UsageRow[] {
  const sums = new Map<string, UsageRow>();
  for (const row of rows) {
    const key = JSON.stringify(groups.map((group) => row[group]));
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, { ...row });
    else for (const name of SUMS) sum[name] += row[name];
  }
  return [...sums.values()].sort((a, b) => b.total_tokens - a.total_tokens);
}

/** Asks for the sums by day and provider, and by model and source. */
export async function loadUse(range: Days, signal: AbortSignal): Promise<Use> {
  const days = toDaysQuery(range);
  const [byDay, rest] = await Promise.all([
    api.get<Summary>('usage/summary', { group_by: 'day,provider', ...days }, signal),
    api.get<Summary>('usage/summary', { group_by: 'provider,model,source', ...days }, signal),
  ]);
  const cells = byDay.series.map(toCell);
  const places = listPlaces(cells);
  return {
    totals: byDay.totals,
    days: places,
    providers: toSeries(cells, places),
    models: sumBy(rest.series, ['provider', 'model']),
    sources: sumBy(rest.series, ['source']),
  };
}
