import { useEffect, useRef } from 'preact/hooks';
import { Button } from '../components/button.js';
import { announce } from '../components/toasts.js';
import { t } from '../text/text.js';

/** Saves the codes as a text, made here: they leave the page for the disk only. */
function save(codes: readonly string[], name: string): void {
  const text = `${t('secondFactor.codesFile', { name })}\n\n${codes.join('\n')}\n`;
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = 'tokenledger-recovery-codes.txt';
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Shows recovery codes this once, to be copied or saved.
 *
 * @param props.name whose they are, for the file
 * @param props.onKept is called when they are put away
 */
export function RecoveryCodes({
  codes,
  name,
  onKept,
}: {
  readonly codes: readonly string[];
  readonly name: string;
  readonly onKept: () => void;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(codes.join('\n'));
      announce(t('common.copied'));
    } catch {
      // Without HTTPS there is no clipboard: the codes can be selected.
      announce(t('common.notCopied'));
    }
  };
  return (
    <div class="stack">
      <h3 ref={heading} tabIndex={-1}>
        {t('secondFactor.recoveryCodes')}
      </h3>
      <p>{t('secondFactor.keepCodes')}</p>
      <ol class="recovery-codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ol>
      <div class="actions">
        <Button onClick={() => void copy()}>{t('secondFactor.copyCodes')}</Button>
        <Button onClick={() => save(codes, name)}>{t('secondFactor.saveCodes')}</Button>
        <Button kind="primary" onClick={onKept}>
          {t('secondFactor.kept')}
        </Button>
      </div>
    </div>
  );
}
