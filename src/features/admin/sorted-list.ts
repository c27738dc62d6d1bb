import { type TSchema, Type } from '@sinclair/typebox';
import { decodeCursor, encodeCursor, PageQuery } from '../../platform/http/pagination.js';

/** Describes the choice of a column to sort by, with - for descending. */
const SortSchema = <const Column extends string>(columns: readonly Column[]) =>
  Type.Union(
    [...columns.map((name) => Type.Literal(name)), ...columns.map((name) => Type.Literal(`-${name}` as const))],
    {
      default: '-created',
      description: 'Column to sort by, with - for descending.',
    },
  );

/** Describes the query of a list that is searched, filtered and sorted by the database, page by page. */
export const SortedListQuery = <const Column extends string, const Filter extends string>(
  columns: readonly Column[],
  filters: readonly Filter[],
  filterDescription: string,
) => ({
  ...PageQuery,
  q: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: 'Part of a name, e-mail address or id.' })),
  filter: Type.Optional(
    Type.Union(
      filters.map((name) => Type.Literal(name)),
      { description: filterDescription },
    ),
  ),
  sort: SortSchema(columns),
});

/** What a list is asked for; a cursor continues in the order of the page it came with. */
export interface SortedListRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly q?: string | undefined;
  readonly filter?: string | undefined;
  readonly sort: string;
}

/** Describes a row as SQL lists it: with the value it was sorted by. */
export const SortedRow = <Schema extends TSchema>(schema: Schema) =>
  Type.Intersect([schema, Type.Object({ id: Type.String(), sort_value: Type.String() })]);

const PositionSchema = Type.Object({
  sort: Type.String({ maxLength: 20, pattern: '^-?[a-z_]+$' }),
  value: Type.String(),
  id: Type.String({ format: 'uuid' }),
});

/**
 * Returns the arguments of a list's SQL function, without the actor.
 * @throws {ApiError} VALIDATION_FAILED for a cursor this server did not give out
 */
export function toListArguments({ limit, cursor, q, filter, sort }: SortedListRequest) {
  const position = decodeCursor(PositionSchema, cursor);
  return {
    p_limit: limit,
    p_sort: position?.sort ?? sort,
    ...(q !== undefined && { p_query: q }),
    ...(filter !== undefined && { p_filter: filter }),
    ...(position !== undefined && { p_after_value: position.value, p_after_id: position.id }),
  };
}

/** Returns the cursor of the page after these rows, which were sorted like this; null on the last page. */
export function toNextCursor(
  rows: readonly { readonly id: string; readonly sort_value: string }[],
  { p_limit, p_sort }: { readonly p_limit: number; readonly p_sort: string },
): string | null {
  return encodeCursor(rows, p_limit, ({ sort_value, id }) => ({ sort: p_sort, value: sort_value, id }));
}
