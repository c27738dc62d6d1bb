import { useEffect, useRef, useState } from 'preact/hooks';
import { t } from '../text/text.js';
import { Button } from './button.js';
import { Field } from './field.js';
import { announce } from './toasts.js';

/** Shows a secret that is shown this once, with a button that copies it. */
export function CopyOnce({ label, secret }: { readonly label: string; readonly secret: string }) {
  const [copied, setCopied] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  // What made the secret is gone, and the focus with it.
  useEffect(() => place.current?.querySelector('input')?.focus(), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(secret);
      setCopied(true);
      announce(t('common.copied'));
    } catch {
      // Without HTTPS there is no clipboard: the field can be selected.
      announce(t('common.notCopied'));
    }
  };
  return (
    <div class="copy-once" ref={place}>
      <Field
        label={label}
        hint={t('common.shownOnce')}
        value={secret}
        onValue={() => undefined}
        readOnly
        autocomplete="off"
        spellcheck={false}
        onFocus={({ currentTarget }) => currentTarget.select()}
      />
      <Button kind="primary" onClick={() => void copy()}>
        {copied ? t('common.copiedButton') : t('common.copy')}
      </Button>
    </div>
  );
}
