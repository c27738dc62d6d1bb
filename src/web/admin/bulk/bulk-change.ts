import { computed, signal } from '@preact/signals';
import type { Static } from '@sinclair/typebox';
import { useEffect, useRef } from 'preact/hooks';
import type { BegunBulkChangeSchema, BulkChangeSchema } from '../../../features/admin/bulk/bulk-change-schemas.js';
import { ApiFailure } from '../../foundation/api/failure.js';
import { route } from '../../foundation/router/router.js';
import { findText } from '../../foundation/text/text.js';
import { api } from '../session.js';
import type { BulkKind } from './bulk-act.js';

export type BulkChange = Static<typeof BulkChangeSchema>;
export type BegunBulkChange = Static<typeof BegunBulkChangeSchema>;

/** How often one looks how far the server came, in milliseconds. */
const LOOK_MS = 1_000;

/** The newest changes, as they were when one last looked. */
export const bulkChanges = signal<readonly BulkChange[]>([]);
/** Why one could not look the last time; undefined once one could. */
export const lookFailure = signal<ApiFailure | undefined>();
const isAnyRunning = computed(() => bulkChanges.value.some(({ runs }) => runs));

/** Whether some of it can still be done. */
export const isOpen = ({ state }: BulkChange): boolean => state === 'preview' || state === 'running';

/** Returns how many had their turn. */
export const countDone = ({ matched, left }: BulkChange): number => matched - left;

/** Names what a change does to whom. */
export function nameChange({ kind, change: { action } }: BulkChange): string {
  return findText(`admin.${kind === 'device' ? 'devices' : 'people'}.bulkTitles.${action}`) ?? action;
}

/** Takes in how one change stands. */
export function noteChange(change: BulkChange): void {
  bulkChanges.value = [change, ...bulkChanges.value.filter(({ id }) => id !== change.id)];
}

/** Looks how far the changes came; where that fails, it is looked again soon. */
async function look(): Promise<void> {
  try {
    bulkChanges.value = (await api.get<{ bulk_changes: BulkChange[] }>('admin/bulk-changes')).bulk_changes;
    lookFailure.value = undefined;
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    lookFailure.value = error;
  }
}

/** Looks how far the changes came: with every view that is chosen, and again and again while the server does some. */
export function useLookAtChanges(): void {
  const { path } = route.value;
  const runs = isAnyRunning.value;
  useEffect(() => void look(), [path]);
  useEffect(() => {
    if (!runs) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const again = () => {
      if (!isOver) timer = setTimeout(() => void look().then(again), LOOK_MS);
    };
    again();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [runs]);
}

/** Calls back when a change of some kind came to an end, or was paused. */
export function useOnceEnded(kind: BulkKind, onEnded: () => void): void {
  const running = bulkChanges.value.filter((change) => change.kind === kind && change.runs).map(({ id }) => id);
  const before = useRef(running);
  useEffect(() => {
    if (before.current.some((id) => !running.includes(id))) onEnded();
    before.current = running;
  }, [running.join()]);
}
