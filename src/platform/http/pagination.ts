import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ApiError } from '../errors.js';
import { findProblem } from './json-body.js';

/** Query parameters of every list. */
export const PageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 1_000, description: 'The next_cursor of the previous page.' })),
};
export const PageQuerySchema = Type.Object(PageQuery, { additionalProperties: false });

/** Cursor of the next page, which every list answers beside its rows. */
export const NextCursor = Type.Union([
  Type.String({ description: 'Where the next page begins; null on the last one.' }),
  Type.Null(),
]);

/** The position of a row in a list ordered by time, rows of the same moment by id. */
export const TimePositionSchema = Type.Object({
  at: Type.String({ maxLength: 40 }),
  id: Type.String({ format: 'uuid' }),
});

/** The query of a page, as {@link PageQuery} declares it. */
export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A page of rows, and the opaque cursor of the next one, null on the last. */
export interface Page<Row> {
  readonly rows: Row[];
  readonly next_cursor: string | null;
}

/** Encodes the position of a page's last row as an opaque cursor; null for a page that is not full. */
export function encodeCursor<Row>(
  rows: readonly Row[],
  limit: number,
  toPosition: (row: Row) => unknown,
): string | null {
  const last = rows.at(-1);
  if (last === undefined || rows.length < limit) return null;
  return Buffer.from(JSON.stringify(toPosition(last))).toString('base64url');
}

/**
 * Reads one page of a list.
 *
 * @param schema the shape of a row's position, as the cursor holds it
 * @param read reads at most `limit` rows after a position; from the start if there is none
 * @param toPosition returns the position of a row
 * @throws {ApiError} VALIDATION_FAILED for a cursor this server did not give out
 */
export async function paginate<Row, Schema extends TSchema>(
  { limit, cursor }: PageRequest,
  schema: Schema,
  read: (limit: number, after: Static<Schema> | undefined) => Promise<Row[]>,
  toPosition: (row: Row) => Static<Schema>,
): Promise<Page<Row>> {
  const rows = await read(limit, decodeCursor(schema, cursor));
  return { rows, next_cursor: encodeCursor(rows, limit, toPosition) };
}

/**
 * Decodes a cursor into the position it stands for; undefined for none.
 * @throws {ApiError} VALIDATION_FAILED for a cursor this server did not give out
 */
export function decodeCursor<Schema extends TSchema>(
  schema: Schema,
  cursor: string | undefined,
): Static<Schema> | undefined {
  if (cursor === undefined) return undefined;
  const position = parseCursor(cursor);
  if (findProblem(position) === undefined && Value.Check(schema, position)) return position;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'cursor is not valid' });
}

function parseCursor(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
