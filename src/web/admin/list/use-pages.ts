import { useEffect, useRef, useState } from 'preact/hooks';
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

/** Loads the first page of a list, and the next ones when they are asked for. */
export function usePages<Row>(
  load: (cursor: string | undefined, signal?: AbortSignal) => Promise<Page<Row>>,
  needs: readonly unknown[],
): Pages<Row> {
  const first = useLoad((signal) => load(undefined, signal), needs);
  const [further, setFurther] = useState<readonly Page<Row>[]>([]);
  const shown = useRef(first.data);
  shown.current = first.data;
  useEffect(() => setFurther([]), [first.data]);
  const last = further.at(-1) ?? first.data;
  const more = useAction(async () => {
    const next = await load(last?.next ?? undefined);
    // What comes late must not be added to another list, such as of another filter.
    if (shown.current === first.data) setFurther((pages) => [...pages, next]);
  });
  const rows = [...(first.data?.rows ?? []), ...further.flatMap((page) => page.rows)];
  return { first, rows, hasMore: last?.next != null, more, failure: more.failure, reload: first.reload };
}
