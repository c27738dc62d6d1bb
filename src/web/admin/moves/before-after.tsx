import { Table } from '../../foundation/components/table.js';
import { formatCount } from '../../foundation/format.js';
import { t } from '../../foundation/text/text.js';

/** What a balance was, and what it is or would be. */
export interface Change {
  readonly name: string;
  readonly before: number;
  readonly after: number;
}

/** Shows what balances are before and after something. */
export function BeforeAfter({ caption, changes }: { readonly caption: string; readonly changes: readonly Change[] }) {
  return (
    <Table
      caption={caption}
      rows={changes}
      rowKey={({ name }) => name}
      columns={[
        { key: 'name', label: t('admin.moves.balance'), cell: ({ name }) => name, heads: true },
        { key: 'before', label: t('admin.moves.before'), cell: ({ before }) => formatCount(before), numeric: true },
        {
          key: 'after',
          label: t('admin.moves.after'),
          cell: ({ after }) => <b class={after < 0 ? 'bad' : undefined}>{formatCount(after)}</b>,
          numeric: true,
        },
      ]}
    />
  );
}
