import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { BalanceEntriesSchema } from '../../../features/admin/budget/entry-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Confirm } from '../../foundation/components/dialog.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatDateTime } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { ShortId } from '../list/short-id.js';
import { usePages } from '../list/use-pages.js';
import { api, mayAct } from '../session.js';
import type { SubjectKind } from './balance.js';

type Entries = Static<typeof BalanceEntriesSchema>;
type Entry = Entries['entries'][number];

const PATHS = { device: 'devices', user: 'users' } as const;
const VIEWS = { device: '/devices', user: '/people' } as const;

/** 20 given is +20. */
const formatChange = (amount: number) => (amount > 0 ? `+${formatCount(amount)}` : formatCount(amount));

function UndoDialog({ entry, onUndone, onClose }: { entry: Entry; onUndone: () => void; onClose: () => void }) {
  const action = useAction(async () => {
    await api.post(`admin/ledger/${entry.id}/undo`);
    announce(t('admin.moves.undone'));
    onUndone();
  });
  return (
    <Confirm title={t('admin.ledger.undoTitle')} action={action} submit={t('admin.moves.undo')} onClose={onClose}>
      <p>
        {t(entry.kind === 'transfer' ? 'admin.ledger.undoTransfer' : 'admin.ledger.undoEntry', {
          amount: formatChange(-entry.amount),
        })}
      </p>
    </Confirm>
  );
}

function Standing({ entry, kind }: { entry: Entry; kind: SubjectKind }) {
  return (
    <>
      {t(`admin.ledger.kinds.${entry.kind}`)}
      {entry.counterpart !== null && (
        <>
          {' '}
          <a href={toHref(`${VIEWS[kind]}/${entry.counterpart}`)}>
            {t(entry.amount > 0 ? 'admin.ledger.from' : 'admin.ledger.to')} <ShortId id={entry.counterpart} />
          </a>
        </>
      )}
      {entry.undone && (
        <>
          {' '}
          <Badge>{t('admin.ledger.isUndone')}</Badge>
        </>
      )}
    </>
  );
}

/** Shows what changed the allocation of a device or a person, each with its entry, and undoes what may be undone. */
export function LedgerCard({
  kind,
  id,
  round,
  onUndone,
}: {
  readonly kind: SubjectKind;
  readonly id: string;
  /** Changes when something was moved. */
  readonly round: number;
  readonly onUndone: () => void;
}) {
  const [undoing, setUndoing] = useState<Entry | undefined>();
  const pages = usePages<Entry>(
    async (cursor, signal) => {
      const path = `admin/${PATHS[kind]}/${id}/ledger`;
      const { entries, next_cursor } = await api.get<Entries>(path, { limit: 20, cursor }, signal);
      return { rows: entries, next: next_cursor };
    },
    [kind, id, round],
  );
  const columns: readonly Column<Entry>[] = [
    {
      key: 'kind',
      label: t('admin.ledger.what'),
      cell: (entry) => <Standing entry={entry} kind={kind} />,
      heads: true,
    },
    {
      key: 'amount',
      label: t('admin.ledger.amount'),
      cell: ({ amount }) => formatChange(amount),
      numeric: true,
      sums: true,
    },
    { key: 'actor', label: t('admin.ledger.who'), cell: ({ actor }) => <span class="keep">{actor}</span> },
    {
      key: 'at',
      label: t('admin.ledger.when'),
      cell: (entry) => <span class="keep">{formatDateTime(entry.created_at)}</span>,
    },
    { key: 'id', label: t('admin.ledger.entry'), cell: (entry) => <ShortId id={entry.id} /> },
    ...(mayAct.value
      ? [
          {
            key: 'acts',
            label: t('admin.list.actions'),
            acts: true,
            cell: (entry: Entry) =>
              entry.undoable && (
                <Button
                  label={t('admin.ledger.undoLabel', { amount: formatChange(entry.amount) })}
                  onClick={() => setUndoing(entry)}
                >
                  {t('admin.moves.undo')}
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <Card title={t('admin.ledger.title')} lead={t('admin.ledger.lead')}>
      <LoadedTable
        from={pages.first}
        toRows={() => pages.rows}
        none={<Empty title={t('admin.ledger.none')} />}
        caption={t('admin.ledger.title')}
        compact
        columns={columns}
        rowKey={(entry) => entry.id}
      />
      <More pages={pages} />
      {undoing !== undefined && (
        <UndoDialog entry={undoing} onUndone={onUndone} onClose={() => setUndoing(undefined)} />
      )}
    </Card>
  );
}
