import { useEffect, useId } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Failure, Notice } from '../../foundation/components/notice.js';
import { formatCount } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { findText, t } from '../../foundation/text/text.js';
import { api, mayAct } from '../session.js';
import { type BulkChange, bulkChanges, countDone, isOpen, lookFailure, noteChange } from './bulk-change.js';
import { explainCode } from './items-table.js';

/** Shows how many were changed, and why others were not. */
export function Outcome({ change }: { readonly change: BulkChange }) {
  const { changed, skipped, refused, left, refusals } = change;
  const rest = Object.entries({ skipped, refused, left }).filter(([, count]) => count > 0);
  return (
    <>
      <p>
        {[
          t('admin.bulk.sums.changed', { count: changed }),
          ...rest.map(([name, count]) => findText(`admin.bulk.sums.${name}`, { count })),
        ].join(', ')}
        .
      </p>
      {refusals.length > 0 && (
        <ul>
          {refusals.map(({ code, count }) => (
            <li key={code}>{t('admin.bulk.refusal', { reason: explainCode(code), count })}</li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Shows how far a change came. */
export function ChangeProgress({ change, label }: { readonly change: BulkChange; readonly label?: string }) {
  const id = useId();
  const numbers = { done: formatCount(countDone(change)), all: formatCount(change.matched) };
  return (
    <div class="progress">
      <span id={id} role="status">
        {label !== undefined && `${label}: `}
        {t('admin.bulk.progress', numbers)}
      </span>
      <progress aria-labelledby={id} max={change.matched} value={countDone(change)} />
      {change.runs && lookFailure.value !== undefined && <p class="quiet">{t('admin.bulk.unseen')}</p>}
    </div>
  );
}

/** Says how a change stands that is not under way. */
function Standing({ change }: { readonly change: BulkChange }) {
  const { state, runs, refused } = change;
  // Whether it still goes on is not known while the server does not answer.
  if (runs) return lookFailure.value === undefined ? <p class="quiet">{t('admin.bulk.runs')}</p> : null;
  if (isOpen(change)) {
    return (
      <Notice urgent>
        <p>{t('admin.bulk.paused')}</p>
      </Notice>
    );
  }
  return (
    <Notice tone={refused > 0 || state === 'stopped' ? 'warning' : 'good'} urgent>
      <p>{t(state === 'stopped' ? 'admin.bulk.stopped' : 'admin.bulk.ended')}</p>
    </Notice>
  );
}

/** Has the server do a change of all that match, shows how far it came, and lets it be paused, continued and given up. */
export function RunChange({ change: begun, onClose }: { readonly change: BulkChange; readonly onClose: () => void }) {
  const change = bulkChanges.value.find(({ id }) => id === begun.id) ?? begun;
  const path = `admin/bulk-changes/${begun.id}`;
  const act = useAction(async (ask: () => Promise<BulkChange>) => noteChange(await ask()));
  const run = () => void act.run(() => api.post<BulkChange>(`${path}/run`));
  useEffect(() => {
    if (begun.state === 'preview') run();
  }, []);
  const isSeen = lookFailure.value === undefined;
  useEffect(() => {
    // What failed while the server did not answer says nothing of how it is now.
    if (isSeen) act.clear();
  }, [isSeen]);
  const begins = change.state === 'preview' && act.failure === undefined;
  const isPaused = isOpen(change) && !change.runs && !begins;
  return (
    <>
      <ChangeProgress change={change} />
      {!begins && <Standing change={change} />}
      <Failure failure={act.failure} />
      {!change.runs && !begins && <Outcome change={change} />}
      <div class="actions">
        {mayAct.value && change.runs && (
          <Button busy={act.busy} onClick={() => void act.run(() => api.post<BulkChange>(`${path}/pause`))}>
            {t('admin.bulk.pause')}
          </Button>
        )}
        {mayAct.value && isPaused && (
          <>
            <Button kind="primary" busy={act.busy} onClick={run}>
              {t('admin.bulk.continue')}
            </Button>
            <Button kind="danger" busy={act.busy} onClick={() => void act.run(() => api.delete<BulkChange>(path))}>
              {t('admin.bulk.stop')}
            </Button>
          </>
        )}
        <Button kind={isOpen(change) ? 'plain' : 'primary'} onClick={onClose}>
          {t('common.close')}
        </Button>
      </div>
    </>
  );
}
