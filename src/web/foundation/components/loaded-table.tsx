import type { ComponentChildren } from 'preact';
import type { Loaded } from '../hooks/use-load.js';
import { Loads } from './loads.js';
import { Table, type TableProps } from './table.js';

/** Shows the rows that were loaded, or that there are none; the heading of the card around it says what they are. */
export function LoadedTable<Data, Row>({
  from,
  toRows,
  none,
  ...table
}: Omit<TableProps<Row>, 'rows' | 'captionHidden'> & {
  readonly from: Loaded<Data>;
  readonly toRows: (data: Data) => readonly Row[];
  /** Stands there instead of no rows. */
  readonly none: ComponentChildren;
}) {
  return (
    <Loads from={from}>
      {(data) => {
        const rows = toRows(data);
        return rows.length === 0 ? none : <Table {...table} captionHidden rows={rows} />;
      }}
    </Loads>
  );
}
