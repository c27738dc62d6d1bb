import { Failure } from '../../foundation/components/notice.js';
import { Pager } from '../../foundation/components/pager.js';
import type { Pages } from './use-pages.js';

/** Shows the button for the next page of a list, and why it did not come. */
export function More<Row>({ pages }: { readonly pages: Pages<Row> }) {
  return (
    <>
      <Failure failure={pages.failure} />
      <Pager more={pages.hasMore} busy={pages.more.busy} onMore={() => void pages.more.run()} />
    </>
  );
}
