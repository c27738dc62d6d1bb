import type { ComponentChildren } from 'preact';
import { classes } from './classes.js';

/** A column: its heading, and what a row has there. */
export interface Column<Row> {
  /** Names it, and what it is sorted by. */
  readonly key: string;
  readonly label: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Numbers stand below each other, on the right. */
  readonly numeric?: boolean;
  readonly sortable?: boolean;
  /** Names the row: the heading of its card on a phone. */
  readonly heads?: boolean;
  /** The number that a compact row is about: beside its heading on a phone. */
  readonly sums?: boolean;
  /** Buttons: without a heading to the eye, and at the foot of the card. */
  readonly acts?: boolean;
}

/** What a table is sorted by. */
export interface Sort {
  readonly key: string;
  readonly descending: boolean;
}

/** What a table shows. */
export interface TableProps<Row> {
  readonly caption: string;
  /** For screen readers only, where a heading above says the same. */
  readonly captionHidden?: boolean;
  /** Has a few lines a row on a phone, where there are many rows, instead of one a column. */
  readonly compact?: boolean;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string;
  readonly sort?: Sort | undefined;
  readonly onSort?: (sort: Sort) => void;
}

function Heading<Row>({ column, sort, onSort }: { column: Column<Row> } & Pick<TableProps<Row>, 'sort' | 'onSort'>) {
  const { key, label, numeric = false, sortable = false, acts = false } = column;
  const isSorted = sort?.key === key;
  const direction = isSorted && sort.descending ? 'descending' : 'ascending';
  const next = { key, descending: isSorted ? !sort.descending : numeric };
  return (
    <th scope="col" class={numeric ? 'number' : ''} aria-sort={isSorted ? direction : undefined}>
      {sortable && onSort !== undefined ? (
        <button type="button" class="sort" onClick={() => onSort(next)}>
          {label}
          <span aria-hidden="true">{isSorted ? (sort.descending ? ' ↓' : ' ↑') : ' ↕'}</span>
        </button>
      ) : (
        <span class={acts ? 'hidden' : ''}>{label}</span>
      )}
    </th>
  );
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  const { heads = false, acts = false, numeric = false, sums = false, label, cell } = column;
  if (heads) return <th scope="row">{cell(row)}</th>;
  return (
    <td class={classes(numeric && 'number', sums && 'sum', acts && 'acts')} data-label={acts ? undefined : label}>
      {cell(row)}
    </td>
  );
}

/** Shows rows: as a table where there is room, as cards on a phone. */
export function Table<Row>(props: TableProps<Row>) {
  const { caption, captionHidden = false, compact = false, columns, rows, rowKey, sort, onSort } = props;
  return (
    <table class={classes('table', compact && 'compact')}>
      <caption class={captionHidden ? 'hidden' : ''}>{caption}</caption>
      <thead>
        <tr>
          {columns.map((column) => (
            <Heading key={column.key} column={column} sort={sort} {...(onSort && { onSort })} />
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)}>
            {columns.map((column) => (
              <Cell key={column.key} column={column} row={row} />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
