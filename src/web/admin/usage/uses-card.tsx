import type { Static } from '@sinclair/typebox';
import type { ListedUsageSchema } from '../../../features/usage/schemas.js';
import type { Query } from '../../foundation/api/send.js';
import { LoadedTable } from '../../foundation/components/loaded-table.js';
import { Empty } from '../../foundation/components/notice.js';
import type { Column } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatDateTime } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';
import { More } from '../list/more.js';
import { usePages } from '../list/use-pages.js';
import { api } from '../session.js';
import { usageColumns } from './usage-columns.js';
import { MEASURES } from './usage-query.js';

type Use = Static<typeof ListedUsageSchema>;

const toColumns = (): readonly Column<Use>[] => [
  {
    key: 'at',
    label: t('admin.ledger.when'),
    cell: (use) => <span class="keep">{formatDateTime(use.occurred_at)}</span>,
    heads: true,
  },
  { key: 'model', label: t('admin.usage.by.model'), cell: ({ model }) => model },
  { key: 'source', label: t('admin.usage.by.source'), cell: ({ source }) => t(`admin.usage.sources.${source}`) },
  ...usageColumns(MEASURES),
];

/** Shows the newest uses of a device or a person, in the last 30 days. */
export function UsesCard({ query }: { readonly query: Query }) {
  const pages = usePages<Use>(
    async (cursor, signal) => {
      const page = { ...query, limit: 20, cursor };
      const read = await api.get<{ usage: Use[]; next_cursor: string | null }>('admin/usage', page, signal);
      return { rows: read.usage, next: read.next_cursor };
    },
    [JSON.stringify(query)],
  );
  return (
    <Card title={t('admin.usage.uses')} lead={t('admin.usage.usesLead')}>
      <LoadedTable
        from={pages.first}
        toRows={() => pages.rows}
        none={<Empty title={t('admin.usage.none')} />}
        caption={t('admin.usage.uses')}
        compact
        columns={toColumns()}
        rowKey={({ id }) => id}
      />
      <More pages={pages} />
    </Card>
  );
}
