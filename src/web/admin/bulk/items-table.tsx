import type { Static } from '@sinclair/typebox';
import type { ChangedManySchema } from '../../../features/admin/bulk/bulk-schemas.js';
import { Badge } from '../../foundation/components/notice.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { formatCount } from '../../foundation/format.js';
import { findText, t } from '../../foundation/text/text.js';
import { ShortId } from '../list/short-id.js';

export type Changed = Static<typeof ChangedManySchema>;
export type Item = Changed['items'][number];

/** Says why one of many is refused. */
export const explainCode = (code: string): string => findText(`admin.codes.${code}`) ?? code;

function toColumns(moves: boolean, applied: boolean): readonly Column<Item>[] {
  const left = (balance: Item['before']) => (balance === null ? '–' : formatCount(balance.remaining));
  return [
    { key: 'name', label: t('admin.bulk.name'), cell: ({ name, id }) => name ?? <ShortId id={id} />, heads: true },
    ...(moves
      ? [
          { key: 'before', label: t('admin.moves.before'), cell: (item: Item) => left(item.before), numeric: true },
          { key: 'after', label: t('admin.moves.after'), cell: (item: Item) => left(item.after), numeric: true },
        ]
      : []),
    {
      key: 'outcome',
      label: t('admin.bulk.outcome'),
      cell: ({ code, entry }) => {
        if (code !== null) return <Badge tone="bad">{explainCode(code)}</Badge>;
        if (!applied) return <Badge tone="good">{t('admin.bulk.possible')}</Badge>;
        return entry === null ? t('admin.bulk.done') : <ShortId id={entry} />;
      },
    },
  ];
}

/** Shows what came, or would come, of each. */
export function ItemsTable({
  items,
  applied,
  moves,
  caption = t('admin.bulk.items'),
}: {
  readonly items: readonly Item[];
  /** Whether it was done. */
  readonly applied: boolean;
  /** Whether balances change. */
  readonly moves: boolean;
  readonly caption?: string;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
    <section class="scrolls" aria-label={caption} tabIndex={0}>
      <Table caption={caption} captionHidden columns={toColumns(moves, applied)} rows={items} rowKey={({ id }) => id} />
    </section>
  );
}
