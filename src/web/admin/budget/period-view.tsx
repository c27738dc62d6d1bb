import type { Static } from '@sinclair/typebox';
import type { PeriodDevicesSchema } from '../../../features/admin/budget/period-schemas.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import { Card, View } from '../../foundation/components/view.js';
import { formatCount } from '../../foundation/format.js';
import { toHref } from '../../foundation/router/router.js';
import type { ViewProps } from '../../foundation/router/views.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api } from '../session.js';

type PeriodDevices = Static<typeof PeriodDevicesSchema>;
type Row = PeriodDevices['devices'][number];

/** Shows what each device had and used in a period that is over. */
export function PeriodView({ names: { number = '' } }: ViewProps) {
  const pages = usePages<Row>(
    async (cursor, signal) => {
      const read = await api.get<PeriodDevices>(`admin/periods/${number}`, { cursor, limit: 100 }, signal);
      return { rows: read.devices, next: read.next_cursor };
    },
    [number],
  );
  return (
    <View
      title={t('admin.budget.periodTitle', { number })}
      lead={<a href={toHref('/budget')}>{t('admin.nav.budget')}</a>}
    >
      <Card>
        <LoadedTable
          from={pages.first}
          toRows={() => pages.rows}
          none={<Empty title={t('admin.budget.periodNone')} />}
          caption={t('admin.budget.periodTitle', { number })}
          rowKey={(row) => row.device_id}
          columns={[
            {
              key: 'name',
              label: t('admin.devices.name'),
              cell: (row) => <a href={toHref(`/devices/${row.device_id}`)}>{row.name}</a>,
              heads: true,
            },
            { key: 'used', label: t('admin.balance.used'), cell: ({ used }) => formatCount(used), numeric: true },
            {
              key: 'allocated',
              label: t('admin.balance.allocated'),
              cell: ({ allocated }) => formatCount(allocated),
              numeric: true,
            },
          ]}
        />
        <More pages={pages} />
      </Card>
    </View>
  );
}
