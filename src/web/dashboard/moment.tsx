import { formatDateTime, formatMoment } from '../foundation/format.js';

/** Shows when something was; the whole time is in its title. */
export function Moment({ at }: { readonly at: string }) {
  return (
    <time class="nowrap" dateTime={at} title={formatDateTime(at)}>
      {formatMoment(at)}
    </time>
  );
}
