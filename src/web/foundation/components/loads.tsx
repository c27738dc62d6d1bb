import type { ComponentChildren } from 'preact';
import type { Loaded } from '../hooks/use-load.js';
import { Failure } from './notice.js';
import { Loading } from './spinner.js';

/** Shows what was loaded, or that it is being loaded, or why it was not. */
export function Loads<T>({
  from,
  children,
}: {
  readonly from: Loaded<T>;
  readonly children: (data: T) => ComponentChildren;
}) {
  const { data, failure, loading, reload } = from;
  if (failure !== undefined) return <Failure failure={failure} retry={reload} />;
  if (data === undefined) return <Loading />;
  return (
    <div class="loads" aria-busy={loading}>
      {children(data)}
    </div>
  );
}
