import { type Column, Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatUsd } from '../../foundation/format.js';
import { findText, t } from '../../foundation/text/text.js';
import type { UsageRow } from './load-use.js';

const listColumns = (): readonly Column<UsageRow>[] => [
  {
    key: 'source',
    label: t('usage.origin'),
    cell: ({ source = '' }) => findText(`usage.ways.${source}`) ?? source,
    heads: true,
  },
  { key: 'events', label: t('usage.eventCount'), cell: ({ events }) => formatCount(events), numeric: true },
  { key: 'tokens', label: t('usage.tokens'), cell: ({ total_tokens }) => formatCount(total_tokens), numeric: true },
  { key: 'debited', label: t('usage.debited'), cell: ({ cost }) => formatCount(cost), numeric: true },
  { key: 'money', label: t('usage.money'), cell: ({ nano_usd }) => formatUsd(nano_usd), numeric: true },
];

/** Shows what chat came to, and what extensions and programs reported. */
export function Sources({ rows }: { readonly rows: readonly UsageRow[] }) {
  return (
    <Card title={t('usage.bySource')}>
      <Table
        caption={t('usage.bySource')}
        captionHidden
        columns={listColumns()}
        rows={rows}
        rowKey={({ source = '' }) => source}
      />
    </Card>
  );
}
