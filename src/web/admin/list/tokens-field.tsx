import { Field } from '../../foundation/components/field.js';
import { t } from '../../foundation/text/text.js';

/** Shows a field for a number of tokens. @param checked whether a wrong value is said to be wrong */
export function TokensField({
  label,
  hint,
  value,
  isValid,
  checked,
  onValue,
}: {
  readonly label: string;
  readonly hint?: string;
  readonly value: string;
  readonly isValid: boolean;
  readonly checked: boolean;
  readonly onValue: (value: string) => void;
}) {
  return (
    <Field
      label={label}
      hint={hint}
      value={value}
      onValue={onValue}
      error={checked && !isValid ? t('admin.moves.tokensWrong') : undefined}
      inputmode="numeric"
      autocomplete="off"
    />
  );
}
