import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { PeriodsSchema } from '../../../features/admin/budget/period-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Loads } from '../../foundation/components/loads.js';
import { Badge } from '../../foundation/components/notice.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDate } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { toHref } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import type { Pool } from '../overview/overview.js';
import { PoolCard } from '../overview/pool-card.js';
import { api, mayAct } from '../session.js';
import { BudgetDialog } from './budget-dialog.js';
import { ResetDialog } from './reset-dialog.js';

type Periods = Static<typeof PeriodsSchema>;
type Period = Periods['periods'][number];
const KINDS = ['device', 'user'] as const;

function Pools({ round }: { readonly round: number }) {
  const [changing, setChanging] = useState<Pool | undefined>();
  const loaded = useLoad(
    (signal) => Promise.all(KINDS.map((kind) => api.get<Pool>('admin/budget', { subject_kind: kind }, signal))),
    [round],
  );
  return (
    <Loads from={loaded}>
      {(pools) => (
        <div class="cards">
          {pools.map((pool) => (
            <PoolCard
              key={pool.subject_kind}
              pool={pool}
              actions={
                mayAct.value && (
                  <Button
                    label={t('admin.budget.changeLabel', { pool: t(`admin.pool.kinds.${pool.subject_kind}`) })}
                    onClick={() => setChanging(pool)}
                  >
                    {t('admin.budget.change')}
                  </Button>
                )
              }
            />
          ))}
          {changing !== undefined && (
            <BudgetDialog pool={changing} onDone={loaded.reload} onClose={() => setChanging(undefined)} />
          )}
        </div>
      )}
    </Loads>
  );
}

const toColumns = (): readonly Column<Period>[] => [
  {
    key: 'number',
    label: t('admin.budget.period'),
    heads: true,
    cell: ({ number, closed_at }) =>
      closed_at === null ? (
        <>
          {number} <Badge tone="good">{t('admin.budget.running')}</Badge>
        </>
      ) : (
        <a href={toHref(`/budget/${number}`)}>{number}</a>
      ),
  },
  { key: 'from', label: t('admin.budget.began'), cell: (period) => formatDate(period.started_at) },
  {
    key: 'to',
    label: t('admin.budget.ended'),
    cell: ({ closed_at, closed_by }) =>
      closed_at === null ? '–' : `${formatDate(closed_at)}, ${closed_by ?? t('admin.unknown')}`,
  },
  { key: 'devices', label: t('admin.nav.devices'), cell: ({ devices }) => formatCount(devices), numeric: true },
  { key: 'allocated', label: t('admin.balance.allocated'), cell: (one) => formatCount(one.allocated), numeric: true },
  { key: 'used', label: t('admin.balance.used'), cell: ({ used }) => formatCount(used), numeric: true },
];

function PeriodList({ round }: { readonly round: number }) {
  const pages = usePages<Period>(
    async (cursor, signal) => {
      const read = await api.get<Periods>('admin/periods', { cursor, limit: 12 }, signal);
      return { rows: read.periods, next: read.next_cursor };
    },
    [round],
  );
  return (
    <Card title={t('admin.budget.periods')} lead={t('admin.budget.periodsLead')}>
      <Loads from={pages.first}>
        {() => (
          <Table
            caption={t('admin.budget.periods')}
            captionHidden
            columns={toColumns()}
            rows={pages.rows}
            rowKey={({ number }) => String(number)}
          />
        )}
      </Loads>
      <More pages={pages} />
    </Card>
  );
}

/** Shows the pools and the budget periods, changes the first and ends the running one of the second. */
export function BudgetView() {
  const [round, setRound] = useState(0);
  const [resetting, setResetting] = useState(false);
  return (
    <View
      title={t('admin.nav.budget')}
      lead={t('admin.budget.lead')}
      actions={
        mayAct.value && (
          <Button kind="danger" onClick={() => setResetting(true)}>
            {t('admin.budget.reset')}
          </Button>
        )
      }
    >
      <Pools round={round} />
      <PeriodList round={round} />
      {resetting && <ResetDialog onDone={() => setRound((count) => count + 1)} onClose={() => setResetting(false)} />}
    </View>
  );
}
