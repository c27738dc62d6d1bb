import { Button } from '../../foundation/components/button.js';
import { Failure, Notice } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { ShortId } from '../list/short-id.js';
import { api } from '../session.js';
import type { Moved, Subject } from './balance.js';
import { BeforeAfter } from './before-after.js';

/** Shows what moving tokens did: both balances, the ledger entry, and a button that undoes it. */
export function MovedResult({
  moved,
  subject,
  other,
  onUndone,
  onClose,
}: {
  readonly moved: Moved;
  readonly subject: Subject;
  readonly other?: Subject | undefined;
  readonly onUndone: () => void;
  readonly onClose: () => void;
}) {
  const entry = moved.entries?.[0];
  const undo = useAction(async () => {
    await api.post(`admin/ledger/${entry?.id}/undo`);
    announce(t('admin.moves.undone'));
    onUndone();
  });
  // A transfer tells of the one that got the tokens first.
  const isGiver = moved.from !== null && moved[`${subject.kind}_id`] !== subject.id;
  const [first, second] = isGiver ? [moved.from, moved] : [moved, moved.from];
  const changes = [
    { name: subject.name, before: first?.before?.remaining ?? 0, after: first?.remaining ?? 0 },
    ...(second === null || other === undefined
      ? []
      : [{ name: other.name, before: second.before?.remaining ?? 0, after: second.remaining }]),
  ];
  return (
    <>
      <Notice tone="good" urgent>
        <p>{t('admin.moves.done')}</p>
      </Notice>
      <BeforeAfter caption={t('admin.moves.left')} changes={changes} />
      {entry !== undefined && (
        <p class="quiet">
          {t('admin.moves.entry')} <ShortId id={entry.id} />
        </p>
      )}
      <Failure failure={undo.failure} />
      <div class="actions">
        <Button kind="primary" onClick={onClose}>
          {t('common.close')}
        </Button>
        {entry !== undefined && (
          <Button busy={undo.busy} onClick={() => void undo.run()}>
            {t('admin.moves.undo')}
          </Button>
        )}
      </div>
    </>
  );
}
