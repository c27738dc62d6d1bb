import { parseSums, readField, readList, readText, type Sums } from './answers.js';
import { createSlots, type DayCell, listDays, type ProviderDays, providerTotals } from './bands.js';
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

function parseCell(row: unknown): DayCell {
  return { day: readText(row, 'day'), provider: readText(row, 'provider'), tokens: parseSums(row).tokens };
}

/** Asks for the sums by day and provider, and by model. */
export async function loadUse(query: string, signal: AbortSignal): Promise<Use> {
  const [byDay, byModel] = await Promise.all([
    loadJson(`usage/summary?group_by=day,provider&${query}`, signal),
    loadJson(`usage/summary?group_by=provider,model&${query}`, signal),
  ]);
  const cells = readList(byDay, 'series').map(parseCell);
  const days = listDays(cells);
  const providers = providerTotals(cells, days);
  return {
    totals: parseSums(readField(byDay, 'totals')),
    days,
    providers,
    slots: slotsFor(providers.map(({ name }) => name)),
    models: readList(byModel, 'series').map((row) => ({
      ...parseSums(row),
      provider: readText(row, 'provider'),
      model: readText(row, 'model'),
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
