import { useRef, useState } from 'preact/hooks';
import { announce } from '../foundation/components/toasts.js';
import { type Action, useAction } from '../foundation/hooks/use-action.js';
import { type Loaded, useLoad } from '../foundation/hooks/use-load.js';
import { plural, t } from '../foundation/text/text.js';

/** A page of a list, with the cursor of the next. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}

/** A list that is loaded page by page, each below the ones before. */
export interface Pages<Row> {
  readonly from: Loaded<Page<Row>>;
  readonly rows: readonly Row[];
  readonly more: boolean;
  readonly next: Action<[]>;
}

/** What stands behind a first page. */
interface Further<Row> extends Page<Row> {
  readonly after: Page<Row> | undefined;
}

/** Loads the first page of a list, and the next ones when they are asked for. @param needs what the list depends on */
export function usePages<Row>(
  load: (cursor: string | undefined, signal?: AbortSignal) => Promise<Page<Row>>,
  needs: readonly unknown[],
): Pages<Row> {
  const from = useLoad((signal) => load(undefined, signal), needs);
  const newest = useRef(from.data);
  newest.current = from.data;
  const [loaded, setLoaded] = useState<Further<Row> | undefined>();
  // What was loaded behind an older first page is not behind this one.
  const further = loaded?.after === from.data ? loaded : undefined;
  const cursor = further === undefined ? (from.data?.next ?? null) : further.next;
  const next = useAction(async () => {
    if (cursor === null) return;
    const page = await load(cursor);
    // What comes late is not announced, as it is not shown.
    if (newest.current !== from.data) return;
    setLoaded({ after: from.data, rows: [...(further?.rows ?? []), ...page.rows], next: page.next });
    const shown = plural('common.moreShown', page.rows.length);
    announce(page.next === null ? `${shown} ${t('common.allShown')}` : shown);
  });
  return { from, rows: [...(from.data?.rows ?? []), ...(further?.rows ?? [])], more: cursor !== null, next };
}
