import { useId } from 'preact/hooks';
import { describe, FieldFrame, type FieldProps } from './field.js';

/** One of several things to choose. */
export interface Option<Value extends string> {
  readonly value: Value;
  readonly label: string;
}

/** Shows a list to choose one of. */
export function Select<Value extends string>(
  props: Pick<FieldProps, 'label' | 'hint' | 'error' | 'quiet'> & {
    readonly value: Value;
    readonly options: readonly Option<Value>[];
    readonly onValue: (value: Value) => void;
  },
) {
  const { label, hint, error, quiet, value, options, onValue } = props;
  const id = useId();
  const choose = (text: string) => {
    const chosen = options.find((option) => option.value === text);
    if (chosen !== undefined) onValue(chosen.value);
  };
  return (
    <FieldFrame id={id} label={label} hint={hint} error={error} quiet={quiet ?? false}>
      <select {...describe(id, props)} id={id} onChange={({ currentTarget }) => choose(currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value} selected={option.value === value}>
            {option.label}
          </option>
        ))}
      </select>
    </FieldFrame>
  );
}

/** Shows a few things side by side, one of which is chosen, such as ranges of days. */
export function Segments<Value extends string>({
  legend,
  value,
  options,
  onValue,
}: {
  readonly legend: string;
  readonly value: Value;
  readonly options: readonly Option<Value>[];
  readonly onValue: (value: Value) => void;
}) {
  const name = useId();
  return (
    <fieldset class="segments">
      <legend class="hidden">{legend}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onValue(option.value)}
          />
          <span>{option.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** Shows a box to tick. */
export function Checkbox({
  label,
  hint,
  checked,
  onChecked,
}: {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly checked: boolean;
  readonly onChecked: (checked: boolean) => void;
}) {
  const id = useId();
  return (
    <div class="check">
      <input
        type="checkbox"
        id={id}
        checked={checked}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={({ currentTarget }) => onChecked(currentTarget.checked)}
      />
      <div>
        <label for={id}>{label}</label>
        {hint !== undefined && (
          <p class="hint" id={`${id}-hint`}>
            {hint}
          </p>
        )}
      </div>
    </div>
  );
}
