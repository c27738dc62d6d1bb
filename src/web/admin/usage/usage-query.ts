import { route } from '../../foundation/router/router.js';

/** What usage can be divided by. */
export const GROUPS = ['provider', 'model', 'source', 'device', 'user'] as const;
export type Group = (typeof GROUPS)[number];
/** What of it is counted. */
export const MEASURES = ['prompts', 'total_tokens', 'cost', 'nano_usd'] as const;
export type Measure = (typeof MEASURES)[number];
/** Days up to today that are a choice by themselves. */
export const SPANS = ['7', '30', '90'] as const;
export type Span = (typeof SPANS)[number] | 'own';

/** What narrows the usage that is shown, as the API takes it. */
export const FILTERS = ['provider', 'model', 'source', 'device', 'user_id'] as const;
export type Filter = (typeof FILTERS)[number];

/** What the view shows, as its address has it. */
export interface UsageQuery {
  readonly by: Group;
  readonly measure: Measure;
  readonly span: Span;
  readonly from: string;
  readonly to: string;
  readonly filter: Readonly<Partial<Record<Filter, string>>>;
}

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Returns a day so many days before today, as 2026-01-31 (UTC). */
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);

const choose = <Choice extends string>(choices: readonly Choice[], wanted: string | null, otherwise: Choice): Choice =>
  choices.find((choice) => choice === wanted) ?? otherwise;

/** Reads what the view shows from the address. */
export function readUsageQuery(): UsageQuery {
  const { query } = route.value;
  const span = choose<Span>([...SPANS, 'own'], query.get('span'), '30');
  const days = span === 'own' ? 30 : Number(span);
  const filter = Object.fromEntries(
    FILTERS.flatMap((name) => {
      const value = query.get(name);
      return value === null || value === '' ? [] : [[name, value]];
    }),
  );
  return {
    by: choose(GROUPS, query.get('by'), 'model'),
    measure: choose(MEASURES, query.get('measure'), 'prompts'),
    span,
    from: (span === 'own' && query.get('from')) || daysAgo(days - 1),
    to: (span === 'own' && query.get('to')) || daysAgo(0),
    filter,
  };
}
