import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ApiError } from '../errors.js';

/** Packs where a page ended into the opaque text of `next_cursor`. */
export function encodeCursor(position: unknown): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
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
  if (Value.Check(schema, position)) return position;
  throw new ApiError('VALIDATION_FAILED', { sentence: 'cursor is not valid' });
}

function parsed(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
