import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { SealedMonthsSchema, VerifiedMonthSchema } from '../../../features/admin/reports/ledger-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Badge, Empty, Failure } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount, formatDate, formatMonthYear } from '../../foundation/format.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { api, mayAct } from '../session.js';
import type { Overview } from './overview.js';
import { VerifyBooks } from './verify-books.js';

type Month = Static<typeof SealedMonthsSchema>['months'][number];
type VerifiedMonth = Static<typeof VerifiedMonthSchema>;

function Months() {
  const loaded = useLoad((signal) => api.get<{ months: Month[] }>('admin/ledger/months', {}, signal), []);
  const [reading, setReading] = useState('');
  const read = useAction(async (month: string) => {
    setReading(month);
    const { ok } = await api.post<VerifiedMonth>(`admin/ledger/months/${month}/verify`);
    announce(t(ok ? 'admin.books.monthOk' : 'admin.books.monthWrong', { month: formatMonthYear(month) }));
    loaded.reload();
  });
  const columns: readonly Column<Month>[] = [
    { key: 'month', label: t('admin.books.month'), cell: ({ month }) => formatMonthYear(month), heads: true },
    {
      key: 'standing',
      label: t('admin.books.outcome'),
      cell: ({ sealed, fault }) => {
        if (fault !== null) return <Badge tone="bad">{t('admin.books.faulty')}</Badge>;
        return sealed ? (
          <Badge tone="good">{t('admin.books.sealed')}</Badge>
        ) : (
          <Badge>{t('admin.books.running')}</Badge>
        );
      },
    },
    {
      key: 'events',
      label: t('admin.books.events'),
      // Those of a month are counted when it is proved.
      cell: ({ events, proved_at }) => (proved_at === null ? '–' : formatCount(events)),
      numeric: true,
    },
    {
      key: 'proved',
      label: t('admin.books.proved'),
      cell: (month) => (month.proved_at === null ? '–' : formatDate(month.proved_at)),
    },
    ...(mayAct.value
      ? [
          {
            key: 'acts',
            label: t('admin.list.actions'),
            acts: true,
            cell: ({ month, sealed }: Month) =>
              sealed && (
                <Button
                  label={t('admin.books.readAgainLabel', { month: formatMonthYear(month) })}
                  busy={read.busy && reading === month}
                  onClick={() => void read.run(month)}
                >
                  {t('admin.books.readAgain')}
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <Card title={t('admin.books.months')} lead={t('admin.books.monthsLead')}>
      <Failure failure={read.failure} />
      <LoadedTable
        from={loaded}
        toRows={({ months }) => months}
        none={<Empty title={t('admin.usage.none')} />}
        caption={t('admin.books.months')}
        columns={columns}
        rowKey={({ month }) => month}
      />
    </Card>
  );
}

/** Shows whether the books add up, now and for the months that are over. */
export function BooksView() {
  const overview = useLoad((signal) => api.get<Overview>('admin/overview', {}, signal), []);
  return (
    <View title={t('admin.nav.books')} lead={t('admin.books.viewLead')}>
      <VerifyBooks last={overview.data?.ledger} />
      <Months />
    </View>
  );
}
