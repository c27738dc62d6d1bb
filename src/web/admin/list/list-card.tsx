import type { ComponentChildren } from 'preact';
import type { Query } from '../../foundation/api/send.js';
import { Button } from '../../foundation/components/button.js';
import { Loads } from '../../foundation/components/loads.js';
import { Empty } from '../../foundation/components/notice.js';
import { type Column, Table } from '../../foundation/components/table.js';
import { Card } from '../../foundation/components/view.js';
import { setQuery } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { Bulk } from '../bulk/bulk.js';
import type { BulkAct, BulkKind } from '../bulk/bulk-act.js';
import { useOnceEnded } from '../bulk/bulk-change.js';
import { mayAct } from '../session.js';
import { chooseSort, readListQuery, toSort } from './list-query.js';
import { ListToolbar } from './list-toolbar.js';
import { More } from './more.js';
import { SelectBox } from './select-box.js';
import { type Page, usePages } from './use-pages.js';
import { type Selection, useSelection } from './use-selection.js';

const ROWS_A_PAGE = 50;

/** Shows that nothing matches, and the way back to everything. */
function NoMatch() {
  return (
    <Empty title={t('admin.list.none')}>
      <div class="actions">
        <Button onClick={() => setQuery({ q: '', filter: '' })}>{t('admin.list.showAll')}</Button>
      </div>
    </Empty>
  );
}

/** Shows rows that the server searches, filters and sorts, page by page, with what is done to those that are selected. */
export function ListCard<Row extends { readonly id: string }, Act extends string>(props: {
  readonly kind: BulkKind;
  readonly caption: string;
  readonly filters: Parameters<typeof ListToolbar>[0]['filters'];
  /** Returns the columns; without a selection rows cannot be selected. */
  readonly toColumns: (selection: Selection | undefined) => readonly Column<Row>[];
  readonly load: (query: Query, signal?: AbortSignal) => Promise<Page<Row>>;
  /** Says how many there are. */
  readonly toCount: (count: number) => string;
  /** What is done to the selected rows; admins who only look are not offered it. */
  readonly acts: readonly BulkAct<Act>[];
  readonly toLabel: (act: Act) => string;
  readonly toTitle: (act: Act) => string;
  /** What is shown where there are none at all. */
  readonly none: ComponentChildren;
}) {
  const { kind, caption, filters, toColumns, load, toCount, acts, toLabel, toTitle, none } = props;
  const sorts = toColumns(undefined).filter(({ sortable }) => sortable === true);
  const query = readListQuery(
    filters.map(({ value }) => value),
    ['created', ...sorts.map(({ key }) => key)],
  );
  const { q, filter, sort } = query;
  const pages = usePages<Row>(
    (cursor, signal) => load({ q, filter, sort, cursor, limit: ROWS_A_PAGE }, signal),
    [q, filter, sort],
  );
  const selection = useSelection([q, filter]);
  const columns = toColumns(mayAct.value ? selection : undefined);
  const ids = pages.rows.map(({ id }) => id);
  const renew = () => {
    selection.clear();
    pages.reload();
  };
  useOnceEnded(kind, renew);
  return (
    <Card>
      <div class="stack">
        <ListToolbar query={query} filters={filters} columns={columns} />
        {mayAct.value && (
          <Bulk
            kind={kind}
            acts={acts}
            toLabel={toLabel}
            toTitle={toTitle}
            query={query}
            count={pages.first.data?.count ?? 0}
            selection={selection}
            onDone={renew}
          />
        )}
        <Loads from={pages.first}>
          {({ count = 0 }) =>
            pages.rows.length === 0 ? (
              (q === '' && filter === '' && none) || <NoMatch />
            ) : (
              <div>
                <div class="list-head">
                  <p class="quiet">{toCount(count)}</p>
                  {mayAct.value && (
                    <SelectBox
                      label={t('admin.bulk.selectShown')}
                      shown
                      checked={ids.every(selection.has)}
                      onChecked={(on) => selection.toggleAll(ids, on)}
                    />
                  )}
                </div>
                <Table
                  caption={caption}
                  captionHidden
                  columns={columns}
                  rows={pages.rows}
                  rowKey={({ id }) => id}
                  sort={toSort(query.sort)}
                  onSort={chooseSort}
                />
              </div>
            )
          }
        </Loads>
        <More pages={pages} />
      </div>
    </Card>
  );
}
