import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { t } from '../text/text.js';
import { classes } from './classes.js';
import { Line, type LineAttributes, type LineType } from './line.js';

/** What every field has. */
export interface FieldProps {
  readonly label: string;
  readonly hint?: string | undefined;
  /** What is wrong with the value. */
  readonly error?: string | undefined;
  readonly value: string;
  readonly onValue: (value: string) => void;
  /** A field whose label is for screen readers only, as its place says what it is. */
  readonly quiet?: boolean;
}

type Own = keyof FieldProps | 'onInput' | 'id' | 'class' | 'type';
/** What a field takes besides: attributes of its input. */
type Attributes = Omit<LineAttributes, Own>;

/** Wraps an input with its label, hint and error, which are tied to it for screen readers. */
export function FieldFrame({
  id,
  label,
  hint,
  error,
  quiet = false,
  children,
}: Pick<FieldProps, 'label' | 'hint' | 'error' | 'quiet'> & {
  readonly id: string;
  readonly children: ComponentChildren;
}) {
  return (
    <div class={classes('field', error !== undefined && 'wrong')}>
      <label for={id} class={quiet ? 'hidden' : ''}>
        {label}
      </label>
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {children}
      {error !== undefined && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

/** Returns the attributes that tie an input to its hint and error. */
export function describe(id: string, { hint, error }: Pick<FieldProps, 'hint' | 'error'>) {
  const parts = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean);
  return {
    'aria-describedby': parts.length > 0 ? parts.join(' ') : undefined,
    'aria-invalid': error !== undefined || undefined,
  };
}

/** Shows a line to type in. Give `autocomplete`, so that browsers and password managers can help. */
export function Field(props: FieldProps & Attributes & { readonly type?: LineType }) {
  const { label, hint, error, value, onValue, quiet, type = 'text', ...input } = props;
  const id = useId();
  return (
    <FieldFrame id={id} label={label} hint={hint} error={error} quiet={quiet ?? false}>
      <Line
        {...input}
        {...describe(id, props)}
        id={id}
        type={type}
        value={value}
        onInput={({ currentTarget }) => onValue(currentTarget.value)}
      />
    </FieldFrame>
  );
}

/** Shows a field for an e-mail address. */
export function EmailField(props: FieldProps & Attributes) {
  return (
    <Field type="email" name="email" autocomplete="username" autocapitalize="none" spellcheck={false} {...props} />
  );
}

/** Shows a field for a password, which can be made readable. @param props.autocomplete `current-password` or `new-password` */
export function PasswordField(props: FieldProps & Attributes) {
  const { label, hint, error, value, onValue, quiet, ...input } = props;
  const id = useId();
  const [shown, setShown] = useState(false);
  return (
    <FieldFrame id={id} label={label} hint={hint} error={error} quiet={quiet ?? false}>
      <div class="with-button">
        <Line
          autocapitalize="none"
          spellcheck={false}
          name={props.autocomplete}
          {...input}
          {...describe(id, props)}
          id={id}
          type={shown ? 'text' : 'password'}
          value={value}
          onInput={({ currentTarget }) => onValue(currentTarget.value)}
        />
        <button type="button" class="inside" aria-pressed={shown} aria-controls={id} onClick={() => setShown(!shown)}>
          {shown ? t('common.hide') : t('common.show')}
          <span class="hidden"> {label}</span>
        </button>
      </div>
    </FieldFrame>
  );
}
