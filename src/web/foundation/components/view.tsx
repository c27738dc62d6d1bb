import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { wasMoved } from '../router/router.js';
import { classes } from './classes.js';

/** Names the window after what is shown. */
function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} – Tokenledger`;
  }, [title]);
}

/** Shows a heading that names the window too. When the view was chosen by a link, the focus comes here. */
export function Title({ children, focus = wasMoved() }: { readonly children: string; readonly focus?: boolean }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useTitle(children);
  useEffect(() => {
    if (focus) heading.current?.focus();
  }, [children, focus]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

/** Shows a view: its heading, a sentence about it, what one can do with it, and its content. */
export function View({
  title,
  lead,
  actions,
  children,
}: {
  readonly title: string;
  readonly lead?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="view">
      <div class="view-head">
        <div>
          <Title>{title}</Title>
          {lead !== undefined && <p class="lead">{lead}</p>}
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** Shows a part of a view on a card. */
export function Card({
  title,
  lead,
  actions,
  kind,
  children,
}: {
  readonly title?: string;
  /** A further class, for style sheets. */
  readonly kind?: string;
  readonly lead?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  const heading = useId();
  return (
    <section class={classes('card', kind)} aria-labelledby={title === undefined ? undefined : heading}>
      {title !== undefined && (
        <div class="card-head">
          <div>
            <h2 id={heading}>{title}</h2>
            {lead !== undefined && <p class="lead">{lead}</p>}
          </div>
          {actions !== undefined && <div class="actions">{actions}</div>}
        </div>
      )}
      {title === undefined && lead !== undefined && <p class="lead">{lead}</p>}
      {children}
    </section>
  );
}
