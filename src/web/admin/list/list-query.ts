import type { Sort } from '../../foundation/components/table.js';
import { route, setQuery } from '../../foundation/router/router.js';

/** What a list shows, as the address of its view has it. */
export interface ListQuery {
  readonly q: string;
  readonly filter: string;
  readonly sort: string;
}

const FIRST_SORT = '-created';

/** Reads what a list shows from the address; a filter or an order that there is not, such as of an old link, is left out. */
export function readListQuery(filters: readonly string[], sorts: readonly string[]): ListQuery {
  const { query } = route.value;
  const [filter, sort] = [query.get('filter') ?? '', query.get('sort') ?? FIRST_SORT];
  return {
    q: query.get('q') ?? '',
    filter: filters.includes(filter) ? filter : '',
    sort: sorts.includes(toSort(sort).key) ? sort : FIRST_SORT,
  };
}

/** Returns the order of a list as a table shows it. */
export const toSort = (sort: string): Sort => ({ key: sort.replace(/^-/, ''), descending: sort.startsWith('-') });

/** Changes the order of a list. */
export function chooseSort({ key, descending }: Sort): void {
  setQuery({ sort: descending ? `-${key}` : key });
}
