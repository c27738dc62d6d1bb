import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { TypedConfirmation } from '../../foundation/components/dialog.js';
import { Loads } from '../../foundation/components/loads.js';
import { Empty, Notice } from '../../foundation/components/notice.js';
import { formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { plural, t } from '../../foundation/text/text.js';
import type { ListQuery } from '../list/list-query.js';
import { newKey } from '../new-key.js';
import { api } from '../session.js';
import { type ActRequest, type BulkKind, PATHS } from './bulk-act.js';
import type { BegunBulkChange } from './bulk-change.js';
import { ItemsTable } from './items-table.js';
import { RunChange } from './run-change.js';

/** What the change does to everybody's tokens together. */
function Sums({ begun, moves }: { readonly begun: BegunBulkChange; readonly moves: boolean }) {
  if (!moves) return null;
  const { matched, change, preview } = begun;
  const { tokens } = change;
  if (tokens === undefined) {
    return <p>{t('admin.bulk.returned', { tokens: formatCount(preview.balances.remaining) })}</p>;
  }
  const { unallocated } = preview.pool;
  const all = { tokens: formatCount(Math.abs(tokens) * matched) };
  return (
    <>
      <p>{t(tokens > 0 ? 'admin.bulk.given' : 'admin.bulk.taken', all)}</p>
      {preview.balances.short > 0 && (
        <Notice tone="warning">
          <p>{plural('admin.bulk.short', preview.balances.short)}</p>
        </Notice>
      )}
      {unallocated !== null && tokens * matched > unallocated && (
        <Notice tone="warning">
          <p>{t('admin.bulk.tooMuch', { tokens: formatCount(unallocated) })}</p>
        </Notice>
      )}
    </>
  );
}

/** Shows what would come of it for all that match a search, has that confirmed by typing, and does it with its progress. */
export function MatchingChange({
  kind,
  query: { q, filter },
  request,
  moves,
  onClose,
}: {
  readonly kind: BulkKind;
  readonly query: ListQuery;
  readonly request: ActRequest;
  readonly moves: boolean;
  readonly onClose: () => void;
}) {
  const [key] = useState(newKey);
  const [isMeant, setMeant] = useState(false);
  const begun = useLoad(() => {
    const body = { ...request, ...(q !== '' && { q }), ...(filter !== '' && { filter }) };
    return api.post<BegunBulkChange>(`${PATHS[kind]}/bulk-changes`, body, { 'idempotency-key': key });
  }, []);
  const start = useAction(async () => setMeant(true));
  if (isMeant && begun.data !== undefined) {
    return <RunChange change={begun.data} onClose={onClose} />;
  }
  return (
    <Loads from={begun}>
      {(change) =>
        change.matched === 0 ? (
          <>
            <Empty title={t('admin.list.none')} />
            <div class="actions">
              <Button onClick={onClose}>{t('common.close')}</Button>
            </div>
          </>
        ) : (
          <TypedConfirmation
            word={String(change.matched)}
            action={start}
            submit={t('admin.bulk.begin')}
            onClose={onClose}
          >
            <p>{plural('admin.bulk.matched', change.matched)}</p>
            <Sums begun={change} moves={moves} />
            <p class="quiet">{plural('admin.bulk.sample', change.preview.sample.length)}</p>
            <ItemsTable
              items={change.preview.sample}
              applied={false}
              moves={moves}
              caption={plural('admin.bulk.sample', change.preview.sample.length)}
            />
          </TypedConfirmation>
        )
      }
    </Loads>
  );
}
