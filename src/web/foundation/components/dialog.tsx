import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Action } from '../hooks/use-action.js';
import { t } from '../text/text.js';
import { Button } from './button.js';
import { Field } from './field.js';
import { Form } from './form.js';

/** What is typed into; boxes and what can only be read are not what a dialog begins with. */
const LINES = '.dialog-body input:not([type=checkbox], [type=radio], [readonly])';

/** Moves the focus to the first line that is there to be filled; where there is none, it stays at the close button. */
function focusFirstLine(dialog: HTMLDialogElement | null): void {
  const lines = [...(dialog?.querySelectorAll<HTMLInputElement>(LINES) ?? [])];
  (lines.find(({ value, tabIndex }) => value === '' && tabIndex >= 0) ?? lines[0])?.focus();
}

/** Whether what a dialog asked for is being sent. */
const isSending = (dialog: HTMLDialogElement | null): boolean =>
  dialog?.querySelector('form[data-sending="true"]') != null;

/**
 * Shows a dialog over the page as long as it is there; Escape and its button close it, and the focus goes back. While it
 * sends something it stays: whoever closed it would not learn what was done, nor see what is shown only once.
 */
export function Dialog({
  title,
  onClose,
  children,
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const close = () => {
    if (!isSending(dialog.current)) onClose();
  };
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    focusFirstLine(dialog.current);
    return () => {
      dialog.current?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClose={({ currentTarget }) => {
        // Browsers close it without asking when Escape is pressed once more; nor is one that is gone meant.
        if (currentTarget.isConnected && isSending(currentTarget)) currentTarget.showModal();
        else if (currentTarget.isConnected && !currentTarget.open) onClose();
      }}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <button type="button" class="close" aria-label={t('common.close')} onClick={close}>
          <span aria-hidden="true">×</span>
        </button>
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

/** Asks for something in a dialog: fields, a button that sends them, and one that gives it up. */
export function FormDialog({
  title,
  onClose,
  ...form
}: Omit<Parameters<typeof Form>[0], 'more'> & { readonly title: string; readonly onClose: () => void }) {
  return (
    <Dialog title={title} onClose={onClose}>
      <Form {...form} more={<Button onClick={onClose}>{t('common.cancel')}</Button>} />
    </Dialog>
  );
}

/** Has a dialog close when what it asked for is done. */
function thenClose(action: Action<[]>, onClose: () => void): Action<[]> {
  const run = async (): Promise<boolean> => {
    const succeeded = await action.run();
    if (succeeded) onClose();
    return succeeded;
  };
  return { ...action, run };
}

/** Asks whether something is really meant, and does it. The dialog closes by itself when it is done. */
export function Confirm({
  action,
  kind = 'danger',
  ...form
}: Pick<Parameters<typeof FormDialog>[0], 'title' | 'action' | 'submit' | 'kind' | 'onClose' | 'children'>) {
  return <FormDialog {...form} action={thenClose(action, form.onClose)} kind={kind} />;
}

interface TypedProps {
  readonly word: string;
  readonly action: Action<[]>;
  readonly submit: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** Shows what is asked for and a field for a word, without which it is not done. */
export function TypedConfirmation({ word, action, submit, onClose, children }: TypedProps) {
  const [typed, setTyped] = useState('');
  const [wrong, setWrong] = useState(false);
  const check = () => {
    setWrong(typed.trim() !== word);
    return typed.trim() === word;
  };
  return (
    <Form
      action={action}
      submit={submit}
      kind="danger"
      check={check}
      more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
    >
      {children}
      <Field
        label={t('common.typeToConfirm', { word })}
        value={typed}
        onValue={setTyped}
        error={wrong ? t('common.typedWrong', { word }) : undefined}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
      />
    </Form>
  );
}

/** Asks for what cannot be undone: the person types a word, such as the name of what goes away. */
export function ConfirmByTyping({ title, action, ...props }: TypedProps & { readonly title: string }) {
  return (
    <Dialog title={title} onClose={props.onClose}>
      <TypedConfirmation action={thenClose(action, props.onClose)} {...props} />
    </Dialog>
  );
}
