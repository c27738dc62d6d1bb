import type { Sums } from './answers.js';
import { OTHERS } from './bands.js';
import { element, headerCell, make } from './dom.js';
import { count, percent } from './format.js';

/** What one model of one provider used. */
export interface ModelSums extends Sums {
  readonly provider: string;
  readonly model: string;
}

/** Rows shown at first. */
const FEW = 6;

const body = element('models-body', HTMLTableSectionElement);
const more = element('models-more', HTMLButtonElement);

let hidden: readonly HTMLTableRowElement[] = [];

function row(use: ModelSums, largest: number, all: number, slot: number): HTMLTableRowElement {
  const bar = make('span', 'bar');
  bar.style.backgroundColor = `var(--series-${slot})`;
  bar.style.inlineSize = `${largest === 0 ? 0 : (use.tokens / largest) * 100}%`;
  const name = headerCell('row', 'what', make('span', 'name', use.model), make('small', '', use.provider), bar);
  const tokens = make('td', 'number', count(use.tokens), make('small', '', percent(use.tokens, all)));
  return make('tr', '', name, tokens);
}

/**
 * Shows tokens by model, largest first.
 *
 * @param slots the colours of the providers
 */
export function showModels(uses: readonly ModelSums[], slots: ReadonlyMap<string, number>): void {
  const ordered = [...uses].sort((a, b) => b.tokens - a.tokens);
  const all = ordered.reduce((sum, { tokens }) => sum + tokens, 0);
  const rows = ordered.map((use) => row(use, ordered[0]?.tokens ?? 0, all, slots.get(use.provider) ?? OTHERS));
  body.replaceChildren(...rows.slice(0, FEW));
  hidden = rows.slice(FEW);
  more.hidden = hidden.length === 0;
  more.textContent = `Show all ${count(rows.length)} models`;
}

more.addEventListener('click', () => {
  body.append(...hidden);
  more.hidden = true;
  // The button is gone: the keyboard goes on where the new rows begin.
  const first = hidden[0];
  first?.setAttribute('tabindex', '-1');
  first?.focus();
});
