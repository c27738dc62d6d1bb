import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Loads } from '../../foundation/components/loads.js';
import { Failure, Notice } from '../../foundation/components/notice.js';
import { formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { plural, t } from '../../foundation/text/text.js';
import { newKey } from '../new-key.js';
import { api } from '../session.js';
import { type ActRequest, type BulkKind, PATHS } from './bulk-act.js';
import { type Changed, ItemsTable } from './items-table.js';

interface ChangeProps {
  readonly kind: BulkKind;
  readonly ids: readonly string[];
  readonly request: ActRequest;
  readonly moves: boolean;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Shows what would come of it for all that are selected, does it for all or none, and shows what it did. */
export function SelectedChange({ kind, ids, request, moves, onDone, onClose }: ChangeProps) {
  const path = `${PATHS[kind]}/bulk`;
  const body = { ...request, [`${kind}_ids`]: ids };
  const [key] = useState(newKey);
  const [done, setDone] = useState<Changed | undefined>();
  const preview = useLoad(() => api.post<Changed>(path, { ...body, preview: true }), []);
  const apply = useAction(async () => {
    setDone(await api.post<Changed>(path, body, { 'idempotency-key': key }));
    onDone();
  });
  if (done !== undefined) {
    return (
      <>
        <Notice tone="good" urgent>
          <p>{plural('admin.bulk.applied', done.items.length)}</p>
        </Notice>
        <ItemsTable items={done.items} applied moves={moves} />
        <div class="actions">
          <Button kind="primary" onClick={onClose}>
            {t('common.close')}
          </Button>
        </div>
      </>
    );
  }
  return (
    <Loads from={preview}>
      {({ items, refused, pool }) => (
        <div class="stack">
          {refused > 0 && (
            <Notice tone="warning" urgent>
              <p>{plural('admin.bulk.refused', refused)}</p>
            </Notice>
          )}
          <ItemsTable items={items} applied={false} moves={moves} />
          {moves && (
            <p class="quiet">
              {t('admin.bulk.pool', {
                before: formatCount(pool.before.allocated),
                after: formatCount(pool.after.allocated),
              })}
            </p>
          )}
          <Failure failure={apply.failure} />
          <div class="actions">
            <Button kind="primary" busy={apply.busy} disabled={refused > 0} onClick={() => void apply.run()}>
              {plural('admin.bulk.apply', ids.length)}
            </Button>
            <Button onClick={onClose}>{t('common.cancel')}</Button>
          </div>
        </div>
      )}
    </Loads>
  );
}
