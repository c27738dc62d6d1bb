import { fieldOf, listOf, type Sums, sumsOf, textOf } from './answers.js';
import { createSlots, type DayCell, daysOf, type ProviderDays, providerTotals } from './bands.js';
import { element, make } from './dom.js';
import { count } from './format.js';
import type { ModelSums } from './model-section.js';
import { loadJson } from './session.js';

/** What was used in a range of days. */
export interface Use {
  readonly totals: Sums;
  readonly days: readonly string[];
  /** Largest first. */
  readonly providers: readonly ProviderDays[];
  /** The colours of the providers that have one. */
  readonly slots: ReadonlyMap<string, number>;
  readonly models: readonly ModelSums[];
}

const slotsFor = createSlots();

function cellOf(row: unknown): DayCell {
  return { day: textOf(row, 'day'), provider: textOf(row, 'provider'), tokens: sumsOf(row).tokens };
}

/** Asks for the sums by day and provider, and by model. */
export async function loadUse(query: string, signal: AbortSignal): Promise<Use> {
  const [byDay, byModel] = await Promise.all([
    loadJson(`usage/summary?group_by=day,provider&${query}`, signal),
    loadJson(`usage/summary?group_by=provider,model&${query}`, signal),
  ]);
  const cells = listOf(byDay, 'series').map(cellOf);
  const days = daysOf(cells);
  const providers = providerTotals(cells, days);
  return {
    totals: sumsOf(fieldOf(byDay, 'totals')),
    days,
    providers,
    slots: slotsFor(providers.map(({ name }) => name)),
    models: listOf(byModel, 'series').map((row) => ({
      ...sumsOf(row),
      provider: textOf(row, 'provider'),
      model: textOf(row, 'model'),
    })),
  };
}

/** Shows the sums over all days. */
export function showTotals({ tokens, sent, received, events }: Sums): void {
  const tiles: readonly (readonly [label: string, value: number])[] = [
    ['Tokens', tokens],
    ['Sent', sent],
    ['Received', received],
    ['Events', events],
  ];
  element('totals', HTMLDListElement).replaceChildren(
    ...tiles.map(([label, value]) => make('div', '', make('dt', '', label), make('dd', '', count(value)))),
  );
}
