import type { ComponentChildren } from 'preact';
import { t } from '../../foundation/text/text.js';
import { SelectBox } from './select-box.js';
import type { Selection } from './use-selection.js';

/** Shows what names a row, with a note below it, and a box that selects the row where rows can be selected. */
export function NameCell({
  selection,
  id = '',
  name = '',
  note,
  children,
}: {
  readonly selection?: Selection;
  readonly id?: string;
  readonly name?: string;
  readonly note: string;
  readonly children: ComponentChildren;
}) {
  return (
    <span class="name-cell">
      {selection !== undefined && (
        <SelectBox
          label={t('admin.bulk.selectOne', { name })}
          checked={selection.has(id)}
          onChecked={(on) => selection.toggle(id, on)}
        />
      )}
      <span class="name">
        {children}
        <small>{note}</small>
      </span>
    </span>
  );
}
