import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ApiError } from '../errors.js';
import { problemOf } from './json-body.js';

/** What every list takes. */
export const PageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 1_000, description: 'next_cursor of the page before.' })),
};
export const PageQuerySchema = Type.Object(PageQuery, { additionalProperties: false });

/** What every list answers besides its rows. */
export const NextCursor = Type.Union([
  Type.String({ description: 'Where the next page begins; null on the last one.' }),
  Type.Null(),
]);

/** The opaque `next_cursor` after a page: packs where its last row stands, null where the page is not full. */
export function nextCursor<Row>(rows: readonly Row[], limit: number, positionOf: (row: Row) => unknown): string | null {
  const last = rows.at(-1);
  if (last === undefined || rows.length < limit) return null;
  return Buffer.from(JSON.stringify(positionOf(last))).toString('base64url');
}

/**
 * Unpacks a cursor this server gave out.
 * @throws {ApiError} VALIDATION_FAILED for anything else
 */
export function decodeCursor<Schema extends TSchema>(
  schema: Schema,
  cursor: string | undefined,
): Static<Schema> | undefined {
  if (cursor === undefined) return undefined;
  const position = parsed(cursor);
  if (problemOf(position) === undefined && Value.Check(schema, position)) return position;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'cursor is not valid' });
}

function parsed(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
