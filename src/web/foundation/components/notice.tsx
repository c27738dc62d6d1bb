import type { ComponentChildren } from 'preact';
import type { ApiFailure } from '../api/failure.js';
import { explainFailure } from '../text/failures.js';
import { t } from '../text/text.js';
import { Button } from './button.js';
import { classes } from './classes.js';

export type Tone = 'plain' | 'good' | 'warning' | 'bad';

/** Shows a sentence that stands out from its surroundings. @param urgent is read out at once */
export function Notice({
  tone = 'plain',
  urgent = false,
  children,
}: {
  readonly tone?: Tone;
  readonly urgent?: boolean;
  readonly children: ComponentChildren;
}) {
  return (
    <div class={classes('notice', tone)} role={urgent ? 'alert' : undefined}>
      {children}
    </div>
  );
}

/** Statuses that stay what they are however often one asks: the address leads to nothing, or says nothing that can be read. */
const LASTING = [400, 404];

/** Shows what went wrong, and a button to try again where that may help. */
export function Failure({
  failure,
  retry,
}: {
  readonly failure: ApiFailure | undefined;
  readonly retry?: (() => void) | undefined;
}) {
  if (failure === undefined || failure.code === 'SESSION_ENDED') return null;
  return (
    <Notice tone="bad" urgent>
      <p>{explainFailure(failure)}</p>
      {retry !== undefined && !LASTING.includes(failure.status) && <Button onClick={retry}>{t('common.retry')}</Button>}
    </Notice>
  );
}

/** Shows that there is nothing, and what would bring something here. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** Marks a row or a title with a word. */
export function Badge({ tone = 'plain', children }: { readonly tone?: Tone; readonly children: ComponentChildren }) {
  return <span class={classes('badge', tone)}>{children}</span>;
}
