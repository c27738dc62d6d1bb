import { useMemo, useState } from 'preact/hooks';

/** What is selected in a list: some by id, or all that match what the list is asked for. */
export interface Selection {
  readonly ids: ReadonlySet<string>;
  /** Whether all that match are selected, also those that are not shown. */
  readonly isAll: boolean;
  readonly has: (id: string) => boolean;
  readonly toggle: (id: string, isSelected: boolean) => void;
  readonly toggleAll: (ids: readonly string[], isSelected: boolean) => void;
  readonly selectMatching: () => void;
  readonly clear: () => void;
}

interface Selected {
  readonly ids: ReadonlySet<string>;
  readonly isAll: boolean;
  /** What the list showed. */
  readonly of?: object;
}

const NOTHING: Selected = { ids: new Set(), isAll: false };

/** Keeps what is selected, as long as the list shows the same: nothing else is selected for a moment. */
export function useSelection(needs: readonly unknown[]): Selection {
  const shown = useMemo(() => ({}), needs);
  const [selected, setSelected] = useState(NOTHING);
  const { ids, isAll } = selected.of === shown ? selected : NOTHING;
  const change = (changed: readonly string[], isSelected: boolean) =>
    setSelected((before) => {
      const next = new Set(before.of === shown ? before.ids : []);
      for (const id of changed) isSelected ? next.add(id) : next.delete(id);
      return { ids: next, isAll: false, of: shown };
    });
  return {
    ids,
    isAll,
    has: (id) => isAll || ids.has(id),
    toggle: (id, on) => change([id], on),
    toggleAll: change,
    selectMatching: () => setSelected({ ids, isAll: true, of: shown }),
    clear: () => setSelected(NOTHING),
  };
}
