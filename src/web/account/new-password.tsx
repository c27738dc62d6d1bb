import { PasswordField } from '../foundation/components/field.js';
import { t } from '../foundation/text/text.js';

const MIN_LENGTH = 8;
const MAX_LENGTH = 256;

/** Codes of what the server finds wrong with a new password. */
export const PASSWORD_CODES = ['PASSWORD_TOO_COMMON', 'PASSWORD_BREACHED', 'PASSWORD_PERSONAL'] as const;

/** Says what is wrong with a new password that the server need not be asked about; undefined for one that will do. */
export function findPasswordProblem(password: string): string | undefined {
  const { length } = [...password];
  if (length < MIN_LENGTH) return t('account.passwordTooShort', { count: MIN_LENGTH });
  if (length > MAX_LENGTH) return t('account.passwordTooLong', { count: MAX_LENGTH });
  return undefined;
}

/** Shows a field for a new password, which can be made readable, and so need not be typed twice. */
export function NewPassword({
  label,
  value,
  onValue,
  error,
}: {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly error: string | undefined;
}) {
  return (
    <PasswordField
      label={label}
      hint={t('account.passwordHint', { count: MIN_LENGTH })}
      value={value}
      onValue={onValue}
      error={error}
      autocomplete="new-password"
      required
    />
  );
}

/** Tells password managers whose password a form is about, where the page need not ask. */
export function PasswordOwner({ email }: { readonly email: string }) {
  return (
    <div class="hidden">
      <input
        type="email"
        name="email"
        autocomplete="username"
        value={email}
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
    </div>
  );
}
