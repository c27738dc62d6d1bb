import type { ComponentChildren, FunctionComponent } from 'preact';
import { useState } from 'preact/hooks';
import { Button, type ButtonKind } from '../../foundation/components/button.js';

/** What the dialog of an act is given. */
export interface ActProps<Subject> {
  readonly subject: Subject;
  /** Tells that something changed. */
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Something that can be done with a device or an account: a button, and the dialog behind it. */
export interface Act<Subject> {
  readonly name: string;
  readonly toLabel: (subject: Subject) => ComponentChildren;
  readonly kind?: ButtonKind;
  /** Whether there is anything to do; always, where it is left out. */
  readonly isOffered?: (subject: Subject) => boolean;
  readonly Dialog: FunctionComponent<ActProps<Subject>>;
}

/** Shows what can be done with something, and does it. */
export function Acts<Subject>({
  acts,
  subject,
  onDone,
}: {
  readonly acts: readonly Act<Subject>[];
  readonly subject: Subject;
  readonly onDone: () => void;
}) {
  const [chosen, setChosen] = useState<Act<Subject> | undefined>();
  return (
    <>
      {acts
        .filter(({ isOffered }) => isOffered === undefined || isOffered(subject))
        .map((act) => (
          <Button key={act.name} {...(act.kind !== undefined && { kind: act.kind })} onClick={() => setChosen(act)}>
            {act.toLabel(subject)}
          </Button>
        ))}
      {chosen !== undefined && <chosen.Dialog subject={subject} onDone={onDone} onClose={() => setChosen(undefined)} />}
    </>
  );
}
