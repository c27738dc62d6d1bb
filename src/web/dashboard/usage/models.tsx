import { useState } from 'preact/hooks';
import { Pager } from '../../foundation/components/pager.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { formatCount, formatShare } from '../../foundation/format.js';
import { plural, t } from '../../foundation/text/text.js';
import type { UsageRow } from './load-use.js';
import { knownName, nameOf } from './names.js';

/** Rows shown at first. */
const FEW = 6;

function Model({ row, largest }: { readonly row: UsageRow; readonly largest: number }) {
  const provider = knownName(row.provider);
  const width = largest === 0 ? 0 : (row.total_tokens / largest) * 100;
  return (
    <span class="of-model">
      <span>{nameOf(row.model ?? '')}</span>
      {provider !== undefined && <small>{provider}</small>}
      <span class="bar" aria-hidden="true">
        <span style={{ inlineSize: `${width}%` }} />
      </span>
    </span>
  );
}

/** Shows tokens by model, largest first. */
export function Models({ rows }: { readonly rows: readonly UsageRow[] }) {
  const [all, setAll] = useState(false);
  const sum = rows.reduce((total, { total_tokens }) => total + total_tokens, 0);
  const largest = rows[0]?.total_tokens ?? 0;
  const columns: readonly Column<UsageRow>[] = [
    { key: 'model', label: t('usage.model'), cell: (row) => <Model row={row} largest={largest} />, heads: true },
    {
      key: 'tokens',
      label: t('usage.tokens'),
      cell: (row) => (
        <span class="of-model">
          <span>{formatCount(row.total_tokens)}</span>
          <small>{formatShare(row.total_tokens, sum)}</small>
        </span>
      ),
      numeric: true,
    },
  ];
  return (
    <Card title={t('usage.byModel')} kind="models">
      <Table
        caption={t('usage.byModel')}
        captionHidden
        columns={columns}
        rows={all ? rows : rows.slice(0, FEW)}
        rowKey={({ provider, model }) => `${provider} ${model}`}
      />
      <Pager
        more={rows.length > FEW && !all}
        busy={false}
        onMore={() => setAll(true)}
        label={plural('usage.allModels', rows.length)}
      />
    </Card>
  );
}
