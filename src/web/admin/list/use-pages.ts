import { useState } from 'preact/hooks';
import type { ApiFailure } from '../../foundation/api/failure.js';
import { type Action, useAction } from '../../foundation/hooks/use-action.js';
import { type Loaded, useLoad } from '../../foundation/hooks/use-load.js';

/** A page of a list, as the server answers it. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
  /** Number of all matches, where the list counts them. */
  readonly count?: number;
}

/** A list as far as it was loaded. */
export interface Pages<Row> {
  readonly first: Loaded<Page<Row>>;
  readonly rows: readonly Row[];
  readonly hasMore: boolean;
  readonly more: Action<[]>;
  readonly failure: ApiFailure | undefined;
  readonly reload: () => void;
}

/** The pages behind a first one. */
interface Further<Row> {
  readonly after: Page<Row> | undefined;
  readonly pages: readonly Page<Row>[];
}

/** Loads the first page of a list, and the next ones when they are asked for. */
export function usePages<Row>(
  load: (cursor: string | undefined, signal?: AbortSignal) => Promise<Page<Row>>,
  needs: readonly unknown[],
): Pages<Row> {
  const first = useLoad((signal) => load(undefined, signal), needs);
  const [further, setFurther] = useState<Further<Row>>({ after: undefined, pages: [] });
  // What was loaded behind an older first page is not behind this one.
  const pages = further.after === first.data ? further.pages : [];
  const last = pages.at(-1) ?? first.data;
  const more = useAction(async () => {
    const next = await load(last?.next ?? undefined);
    setFurther({ after: first.data, pages: [...pages, next] });
  });
  const rows = [...(first.data?.rows ?? []), ...pages.flatMap((page) => page.rows)];
  return { first, rows, hasMore: last?.next != null, more, failure: more.failure, reload: first.reload };
}
