import { Button } from '../../foundation/components/button.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { formatShare } from '../../foundation/format.js';
import { setQuery, toHref } from '../../foundation/router/router.js';
import { findText, t } from '../../foundation/text/text.js';
import type { Part } from './load-usage.js';
import { usageColumns } from './usage-columns.js';
import { type Filter, type Group, MEASURES, type Measure } from './usage-query.js';

/** What one of a group used in all days. */
export type Sum = Omit<Part, 'day'>;

/** Which filter keeps one of a group only, and what that is best divided by next. */
const NEXT: Readonly<Record<Group, readonly [Filter, Group]>> = {
  provider: ['provider', 'model'],
  model: ['model', 'device'],
  source: ['source', 'model'],
  device: ['device', 'model'],
  user: ['user_id', 'model'],
};

/** Says what one of a group is called. */
export function labelOf(by: Group, { key, name }: Pick<Sum, 'key' | 'name'>): string {
  if (by === 'source') return findText(`admin.usage.sources.${key}`) ?? key;
  if (key === '') return t(by === 'device' ? 'admin.usage.noDevice' : 'admin.usage.nobody');
  return name;
}

/** Adds up the days of each of a group, the largest first. */
export function sumParts(parts: readonly Part[], measure: Measure): readonly Sum[] {
  const sums = new Map<string, Sum>();
  for (const { day: _, ...part } of parts) {
    const sum = sums.get(part.key);
    sums.set(
      part.key,
      sum === undefined
        ? part
        : {
            ...part,
            prompts: sum.prompts + part.prompts,
            total_tokens: sum.total_tokens + part.total_tokens,
            cost: sum.cost + part.cost,
            nano_usd: sum.nano_usd + part.nano_usd,
          },
    );
  }
  return [...sums.values()].sort((a, b) => b[measure] - a[measure] || b.prompts - a.prompts);
}

function Name({ by, sum }: { readonly by: Group; readonly sum: Sum }) {
  const label = labelOf(by, sum);
  if (sum.key === '') return <span class="name">{label}</span>;
  if (by === 'device') return <a href={toHref(`/devices/${sum.key}`)}>{label}</a>;
  if (by === 'user') return <a href={toHref(`/people/${sum.key}`)}>{label}</a>;
  return <span class="name">{label}</span>;
}

/** Shows what each of a group used; a button narrows the view to one of them. */
export function UsageTable({
  by,
  measure,
  sums,
}: {
  readonly by: Group;
  readonly measure: Measure;
  readonly sums: readonly Sum[];
}) {
  const [filter, next] = NEXT[by];
  const all = sums.reduce((total, sum) => total + sum[measure], 0);
  const columns: readonly Column<Sum>[] = [
    { key: 'name', label: t(`admin.usage.by.${by}`), cell: (sum) => <Name by={by} sum={sum} />, heads: true },
    { key: 'share', label: t('admin.usage.share'), cell: (sum) => formatShare(sum[measure], all), numeric: true },
    ...usageColumns(MEASURES),
    {
      key: 'acts',
      label: t('admin.list.actions'),
      acts: true,
      cell: (sum) =>
        sum.key !== '' && (
          <Button
            label={t('admin.usage.narrowLabel', { name: labelOf(by, sum) })}
            onClick={() => setQuery({ [filter]: sum.key, by: next })}
          >
            {t('admin.usage.narrow')}
          </Button>
        ),
    },
  ];
  return (
    <Table caption={t('admin.usage.table')} captionHidden columns={columns} rows={sums} rowKey={({ key }) => key} />
  );
}
