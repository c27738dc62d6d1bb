import { useEffect, useRef } from 'preact/hooks';
import { t } from '../text/text.js';
import { Button } from './button.js';

/** Returns the rows of the table that a button is below. */
function findRows(button: HTMLElement | null): readonly HTMLElement[] {
  return [...(button?.parentElement?.querySelectorAll<HTMLElement>('tbody tr') ?? [])];
}

/**
 * Shows a button for the next rows of a list, while there are some. Once it goes, the keyboard goes on where the rows begin
 * that it brought. It must be beside the table.
 */
export function Pager({
  more,
  busy,
  onMore,
  label = t('common.showMore'),
}: {
  readonly more: boolean;
  readonly busy: boolean;
  readonly onMore: () => void;
  readonly label?: string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const before = useRef<number | undefined>(undefined);
  useEffect(() => {
    if (more || before.current === undefined) return;
    const row = findRows(place.current)[before.current];
    before.current = undefined;
    row?.setAttribute('tabindex', '-1');
    row?.focus();
  }, [more]);
  const show = () => {
    before.current = findRows(place.current).length;
    onMore();
  };
  return (
    <div class="pager" ref={place}>
      {more && (
        <Button busy={busy} onClick={show}>
          {label}
        </Button>
      )}
    </div>
  );
}
