import { useEffect, useState } from 'preact/hooks';

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

/** Keeps what is selected, until what the list shows changes. */
export function useSelection(needs: readonly unknown[]): Selection {
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const [isAll, setAll] = useState(false);
  const clear = () => {
    setIds(new Set());
    setAll(false);
  };
  useEffect(clear, needs);
  const change = (changed: readonly string[], isSelected: boolean) => {
    setAll(false);
    setIds((before) => {
      const next = new Set(before);
      for (const id of changed) isSelected ? next.add(id) : next.delete(id);
      return next;
    });
  };
  return {
    ids,
    isAll,
    has: (id) => isAll || ids.has(id),
    toggle: (id, on) => change([id], on),
    toggleAll: change,
    selectMatching: () => setAll(true),
    clear,
  };
}
