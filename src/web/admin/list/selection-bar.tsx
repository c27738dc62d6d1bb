import type { ComponentChildren } from 'preact';
import { Button } from '../../foundation/components/button.js';
import { plural, t } from '../../foundation/text/text.js';
import type { Selection } from './use-selection.js';

/** The most that can be selected one by one: what is done to them is done to all or to none. */
const MOST = 500;

/** Shows how many are selected, offers all that match, and what can be done with them. */
export function SelectionBar({
  selection,
  count,
  children,
}: {
  readonly selection: Selection;
  /** How many match what the list is asked for. */
  readonly count: number;
  readonly children: ComponentChildren;
}) {
  const { ids, isAll, selectMatching, clear } = selection;
  if (ids.size === 0 && !isAll) return null;
  const isTooMany = ids.size > MOST && !isAll;
  return (
    <section class="selection-bar" aria-label={t('admin.bulk.selection')}>
      <p role="status">
        {isAll ? plural('admin.bulk.selectedMatching', count) : plural('admin.bulk.selected', ids.size)}
        {isTooMany && <span class="quiet"> {t('admin.bulk.tooMany', { most: MOST })}</span>}
      </p>
      <div class="actions">
        {!isTooMany && children}
        {!isAll && count > ids.size && (
          <Button kind="link" onClick={selectMatching}>
            {plural('admin.bulk.selectMatching', count)}
          </Button>
        )}
        <Button kind="link" onClick={clear}>
          {t('admin.bulk.clear')}
        </Button>
      </div>
    </section>
  );
}
