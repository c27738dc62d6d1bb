import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Action } from '../hooks/use-action.js';
import { Button, type ButtonKind } from './button.js';
import { Failure } from './notice.js';

/** Moves the focus to the first field that is wrong, once the page shows which that is. */
function leadToError(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
}

/** Moves the focus to the first field that is there to be filled. */
function focusFirst(form: HTMLFormElement | null): void {
  const fields = [...(form?.querySelectorAll('input') ?? [])].filter(({ readOnly }) => !readOnly);
  (fields.find(({ value }) => value === '') ?? fields[0] ?? form?.querySelector('button'))?.focus();
}

/**
 * Shows a form, its failure and its button, and does its action when it is sent.
 *
 * @param props.check says whether the fields are as they must be; they show themselves what is wrong
 */
export function Form({
  action,
  submit,
  kind = 'primary',
  check = () => true,
  children,
  more,
  explained = [],
  wide = false,
  focus = false,
}: {
  readonly action: Action<[]>;
  /** What is written on the button. */
  readonly submit: string;
  readonly kind?: ButtonKind;
  readonly check?: () => boolean;
  readonly children: ComponentChildren;
  /** Further buttons. */
  readonly more?: ComponentChildren;
  /** Codes of failures that a field shows itself. */
  readonly explained?: readonly string[];
  /** Whether the button is as wide as the form. */
  readonly wide?: boolean;
  /** Whether the first field that is empty gets the focus, where the form is what the page is for. */
  readonly focus?: boolean;
}) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (focus) focusFirst(form.current);
  }, [focus]);
  const send = async () => {
    if (!check()) return leadToError(form.current);
    if (!(await action.run())) leadToError(form.current);
  };
  const isExplained = explained.includes(action.failure?.code ?? '');
  return (
    <form
      ref={form}
      class="form"
      data-sending={action.busy}
      method="post"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {children}
      <Failure failure={isExplained ? undefined : action.failure} />
      <div class="actions">
        <Button type="submit" kind={kind} busy={action.busy} wide={wide}>
          {submit}
        </Button>
        {/* What is being sent cannot be called back: a button that gives it up would only hide what comes of it. */}
        {more !== undefined && (
          <div class="more" inert={action.busy}>
            {more}
          </div>
        )}
      </div>
    </form>
  );
}
