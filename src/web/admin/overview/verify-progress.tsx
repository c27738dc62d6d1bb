import { useEffect, useId, useState } from 'preact/hooks';
import { t } from '../../foundation/text/text.js';

const SECOND_MS = 1_000;

/** Shows since when the books are being checked, and of how long that is likely to take. @param lastMs how long it took last */
export function VerifyProgress({ lastMs }: { readonly lastMs?: number | undefined }) {
  const [begun] = useState(Date.now);
  const [elapsed, setElapsed] = useState(0);
  const label = useId();
  useEffect(() => {
    const clock = setInterval(() => setElapsed(Date.now() - begun), SECOND_MS);
    return () => clearInterval(clock);
  }, []);
  const seconds = Math.round(elapsed / SECOND_MS);
  // What takes longer than the last time is not done because its time is over.
  const isLikely = lastMs !== undefined && elapsed < lastMs;
  return (
    <div class="progress">
      <span id={label}>
        {lastMs === undefined
          ? t('admin.books.checking', { seconds })
          : t('admin.books.checkingOf', { seconds, last: Math.max(1, Math.round(lastMs / SECOND_MS)) })}
      </span>
      <progress aria-labelledby={label} {...(isLikely && { max: lastMs, value: elapsed })} />
    </div>
  );
}
