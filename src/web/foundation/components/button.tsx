import type { ComponentChildren } from 'preact';
import { classes } from './classes.js';
import { Spinner } from './spinner.js';

/** How much a button stands out: `primary` once a view, `plain` for the others, `danger` for what cannot be undone, `link` in running text. */
export type ButtonKind = 'primary' | 'plain' | 'danger' | 'link';

export interface ButtonProps {
  readonly children: ComponentChildren;
  readonly kind?: ButtonKind;
  readonly type?: 'button' | 'submit';
  /** At work: it stays where it is and can keep the focus, but does nothing. */
  readonly busy?: boolean;
  readonly disabled?: boolean;
  readonly onClick?: (() => void) | undefined;
  /** Says more than what is written on it, such as which row it is about. */
  readonly label?: string | undefined;
  readonly describedBy?: string;
  readonly wide?: boolean;
}

/** Shows a button. */
export function Button(props: ButtonProps) {
  const { children, kind = 'plain', type = 'button', busy = false, disabled = false, onClick, wide = false } = props;
  return (
    <button
      type={type}
      class={classes('button', kind, wide && 'wide')}
      disabled={disabled}
      aria-disabled={busy}
      aria-label={props.label}
      aria-describedby={props.describedBy}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else onClick?.();
      }}
    >
      {busy && <Spinner />}
      {children}
    </button>
  );
}

/** Shows a link that looks like a button. */
export function ButtonLink({
  href,
  children,
  kind = 'plain',
}: Pick<ButtonProps, 'children' | 'kind'> & { href: string }) {
  return (
    <a class={classes('button', kind)} href={href}>
      {children}
    </a>
  );
}
