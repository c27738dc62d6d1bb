import { useSignal } from '@preact/signals';
import { Button } from '../../foundation/components/button.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { Notice } from '../../foundation/components/notice.js';
import { formatAgo, formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import { me } from '../session.js';
import { type BulkChange, bulkChanges, countDone, isOpen, nameChange, useLookAtChanges } from './bulk-change.js';
import { ChangeProgress, Outcome, RunChange } from './run-change.js';

/** How long it is told how a change ended, in milliseconds. */
const TOLD_MS = 60 * 60_000;
/** The changes whose end somebody has taken note of, in this browser. */
const NOTED = 'tokenledger.noted-changes';

const readNoted = (): readonly string[] => (localStorage.getItem(NOTED) ?? '').split(',');

/** Whether one should be told about a change: what is open is everybody's matter, how it ended that of who began it. */
function isTold(change: BulkChange, noted: readonly string[]): boolean {
  if (isOpen(change)) return true;
  const isMine = change.created_by === `admin:${me.value?.username}`;
  const isRecent = change.ended_at !== null && Date.now() - Date.parse(change.ended_at) < TOLD_MS;
  return isMine && isRecent && !noted.includes(change.id);
}

function Told({
  change,
  onMore,
  onNoted,
}: {
  readonly change: BulkChange;
  readonly onMore: () => void;
  readonly onNoted: () => void;
}) {
  const label = nameChange(change);
  if (change.runs) {
    return (
      <Notice>
        <ChangeProgress change={change} label={label} />
        <Button label={t('admin.bulk.detailsOf', { action: label })} onClick={onMore}>
          {t('admin.bulk.details')}
        </Button>
      </Notice>
    );
  }
  if (isOpen(change)) {
    const numbers = { done: formatCount(countDone(change)), all: formatCount(change.matched) };
    return (
      <Notice tone="warning">
        <p>{t('admin.bulk.unfinished', { action: label, ...numbers, time: formatAgo(change.created_at) })}</p>
        <Button label={t('admin.bulk.detailsOf', { action: label })} onClick={onMore}>
          {t('admin.bulk.details')}
        </Button>
      </Notice>
    );
  }
  return (
    <Notice tone={change.refused > 0 || change.state === 'stopped' ? 'warning' : 'good'}>
      <div role="status">
        <p>
          <strong>{label}</strong> – {t(change.state === 'stopped' ? 'admin.bulk.stopped' : 'admin.bulk.ended')}
        </p>
        <Outcome change={change} />
      </div>
      <Button label={t('admin.bulk.notedOf', { action: label })} onClick={onNoted}>
        {t('admin.bulk.noted')}
      </Button>
    </Notice>
  );
}

/** Shows above every view what the server is changing, what waits to be continued, and what has just ended. */
export function ChangesStrip() {
  useLookAtChanges();
  const noted = useSignal(readNoted());
  const shown = useSignal<BulkChange | undefined>(undefined);
  const told = bulkChanges.value.filter((change) => isTold(change, noted.value));
  const note = (id: string) => {
    // Those that are listed no more need not be remembered.
    const listed = noted.value.filter((one) => bulkChanges.value.some((change) => change.id === one));
    noted.value = [...listed, id];
    localStorage.setItem(NOTED, noted.value.join());
  };
  const close = () => {
    const { id } = shown.value ?? {};
    shown.value = undefined;
    const change = bulkChanges.value.find((one) => one.id === id);
    if (change !== undefined && !isOpen(change)) note(change.id);
  };
  return (
    <>
      {told.length > 0 && (
        <section class="changes" aria-label={t('admin.bulk.changes')}>
          {told.map((change) => (
            <Told
              key={change.id}
              change={change}
              onMore={() => {
                shown.value = change;
              }}
              onNoted={() => note(change.id)}
            />
          ))}
        </section>
      )}
      {shown.value !== undefined && (
        <Dialog title={nameChange(shown.value)} onClose={close}>
          <RunChange change={shown.value} onClose={close} />
        </Dialog>
      )}
    </>
  );
}
