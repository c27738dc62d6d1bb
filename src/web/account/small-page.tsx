import type { ComponentChildren } from 'preact';
import { Shell } from '../foundation/components/shell.js';
import { Title } from '../foundation/components/view.js';

/** Shows a page with one thing to do, or a sentence. @param props.focus whether the heading is read out: what is shown has changed */
export function SmallPage({
  title,
  lead,
  focus = false,
  children,
}: {
  readonly title: string;
  readonly lead?: ComponentChildren;
  readonly focus?: boolean;
  readonly children?: ComponentChildren;
}) {
  return (
    <Shell>
      <div class="narrow card">
        <div>
          <Title focus={focus}>{title}</Title>
          {lead !== undefined && <p class="lead">{lead}</p>}
        </div>
        {children}
      </div>
    </Shell>
  );
}
