import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from, to } from 'pg-copy-streams';
import type { TableColumns } from './tables.js';

/** Rows of a table on their way out. */
export interface CopiedRows {
  /** The text of COPY. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Returns how many rows there were, once all chunks are read. */
  readonly countRows: () => number;
}

/** Reads all rows of a table. */
export function copyRows(client: pg.Client, { name, columns }: TableColumns): CopiedRows {
  // As a query, since a table with partitions can only be copied so.
  const chunks = client.query(to(`copy (select ${columns.join(', ')} from ${name}) to stdout`));
  return { chunks, countRows: () => chunks.rowCount };
}

/** Writes rows into a table, and returns how many there were. */
export async function loadRows(
  client: pg.Client,
  { name, columns }: TableColumns,
  chunks: AsyncIterable<Buffer>,
): Promise<number> {
  const target = client.query(from(`copy ${name} (${columns.join(', ')}) from stdin`));
  await pipeline(chunks, target);
  return target.rowCount;
}
