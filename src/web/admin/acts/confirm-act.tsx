import type { ComponentChildren } from 'preact';
import type { ButtonKind } from '../../foundation/components/button.js';
import { Confirm, ConfirmByTyping } from '../../foundation/components/dialog.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';

/** Asks whether an act is really meant, does it, and says what it did. */
export function ConfirmAct({
  act,
  word,
  onDone,
  children,
  ...dialog
}: {
  readonly title: string;
  readonly submit: string;
  readonly kind?: ButtonKind;
  /** Has this typed first, for what cannot be undone. */
  readonly word?: string;
  /** Does it, and returns the sentence that says what it did. */
  readonly act: () => Promise<string>;
  readonly onDone: () => void;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}) {
  const action = useAction(async () => {
    announce(await act());
    onDone();
  });
  return word === undefined ? (
    <Confirm action={action} {...dialog}>
      {children}
    </Confirm>
  ) : (
    <ConfirmByTyping word={word} action={action} {...dialog}>
      {children}
    </ConfirmByTyping>
  );
}
