import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../components/button.js';
import { Field } from '../components/field.js';
import { t } from '../text/text.js';

/** A code that is being typed, and whether it is missing where somebody wanted to go on. */
export interface TypedCode {
  readonly value: string;
  readonly error: string | undefined;
  readonly set: (value: string) => void;
  /** Says whether there is one, and shows where not. */
  readonly check: () => boolean;
}

/** Keeps a code while it is typed. */
export function useCode(): TypedCode {
  const [value, set] = useState('');
  const [checked, setChecked] = useState(false);
  const isMissing = value.trim() === '';
  return {
    value: value.trim(),
    error: checked && isMissing ? t('secondFactor.codeMissing') : undefined,
    set,
    check: () => {
      setChecked(true);
      return !isMissing;
    },
  };
}

/** Shows a field for the six digits of an authenticator app. */
export function CodeField({
  code,
  label = t('secondFactor.code'),
}: {
  readonly code: TypedCode;
  readonly label?: string;
}) {
  return (
    <Field
      label={label}
      hint={t('secondFactor.codeHint')}
      value={code.value}
      onValue={code.set}
      error={code.error}
      autocomplete="one-time-code"
      inputMode="numeric"
      spellcheck={false}
      required
    />
  );
}

/** Shows the same, and a button for those who have a recovery code only. */
export function AnyCodeField({ code }: { readonly code: TypedCode }) {
  const [byRecovery, setByRecovery] = useState<boolean | undefined>();
  const place = useRef<HTMLDivElement>(null);
  // Not at first: the field is not always what a form begins with.
  useEffect(() => {
    if (byRecovery !== undefined) place.current?.querySelector('input')?.focus();
  }, [byRecovery]);
  const change = () => {
    setByRecovery(byRecovery !== true);
    code.set('');
  };
  return (
    <div class="stack" ref={place}>
      {byRecovery === true ? (
        <Field
          key="recovery"
          label={t('secondFactor.recoveryCode')}
          hint={t('secondFactor.recoveryHint')}
          value={code.value}
          onValue={code.set}
          error={code.error}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          required
        />
      ) : (
        <CodeField code={code} />
      )}
      <p>
        <Button kind="link" onClick={change}>
          {t(byRecovery === true ? 'secondFactor.useApp' : 'secondFactor.useRecovery')}
        </Button>
      </p>
    </div>
  );
}
