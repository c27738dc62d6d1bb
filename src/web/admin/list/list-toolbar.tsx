import { Select } from '../../foundation/components/choice.js';
import type { Column } from '../../foundation/components/table.js';
import { setQuery } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import type { ListQuery } from './list-query.js';
import { SearchField } from './search-field.js';

type Options = readonly { readonly value: string; readonly label: string }[];

/** Lists both orders of each column a table can be sorted by. */
function listOrders<Row>(columns: readonly Column<Row>[]): Options {
  const sortable = columns.filter(({ key, sortable }) => sortable && key !== 'created');
  return sortable.flatMap(({ key, label }) => [
    { value: `-${key}`, label: `${label} ↓` },
    { value: key, label: `${label} ↑` },
  ]);
}

/** Shows what a list is searched, filtered and sorted by. */
export function ListToolbar<Row>({
  query,
  filters,
  columns,
}: {
  readonly query: ListQuery;
  readonly filters: Options;
  readonly columns: readonly Column<Row>[];
}) {
  return (
    <search class="toolbar">
      <SearchField label={t('admin.list.search')} value={query.q} onSearch={(q) => setQuery({ q })} />
      <Select
        label={t('admin.list.show')}
        value={query.filter}
        options={[{ value: '', label: t('admin.list.all') }, ...filters]}
        onValue={(filter) => setQuery({ filter })}
      />
      {/* A phone shows cards, which have no headings to sort by. */}
      <div class="on-phones">
        <Select
          label={t('admin.list.order')}
          value={query.sort}
          options={[
            { value: '-created', label: t('admin.list.newest') },
            { value: 'created', label: t('admin.list.oldest') },
            ...listOrders(columns),
          ]}
          onValue={(sort) => setQuery({ sort })}
        />
      </div>
    </search>
  );
}
