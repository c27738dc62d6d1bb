import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { PasswordField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { AnyCodeField, useCode } from '../../foundation/second-factor/code-field.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import type { Profile } from './profile.js';
import { useProof } from './use-proof.js';

const PATHS = { renew: 'users/me/second-factor/recovery-codes', remove: 'users/me/second-factor/remove' } as const;

/** Asks for the password, where there is one, and a code, and makes new recovery codes or turns the second factor off. */
export function FactorDialog({
  act,
  profile,
  onDone,
  onClose,
}: {
  readonly act: keyof typeof PATHS;
  readonly profile: Profile;
  /** Gets the new recovery codes; none where it was turned off. */
  readonly onDone: (codes: readonly string[]) => void;
  readonly onClose: () => void;
}) {
  const [password, setPassword] = useState('');
  const [checked, setChecked] = useState(false);
  const code = useCode();
  const proof = useProof(profile.has_password, true);
  const needsPassword = profile.has_password;
  const action = useAction(async () => {
    const body = { totp: code.value, ...(needsPassword && { current_password: password }) };
    const send = () => api.post<{ recovery_codes?: string[] }>(PATHS[act], body);
    const { recovery_codes = [] } = await proof.guard(send);
    if (act === 'remove') announce(t('secondFactor.turnedOff'));
    onClose();
    onDone(recovery_codes);
  });
  const isMissing = needsPassword && password === '';
  const check = () => {
    setChecked(true);
    return code.check() && !isMissing;
  };
  return (
    <Dialog title={t(act === 'renew' ? 'secondFactor.renew' : 'secondFactor.turnOffTitle')} onClose={onClose}>
      <p>{t(act === 'renew' ? 'secondFactor.renewLead' : 'secondFactor.turnOffLead')}</p>
      <Form
        action={action}
        submit={t(act === 'renew' ? 'secondFactor.renew' : 'secondFactor.turnOff')}
        kind={act === 'renew' ? 'primary' : 'danger'}
        check={check}
        more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
      >
        {needsPassword && (
          <PasswordField
            label={t('profile.currentPassword')}
            value={password}
            onValue={setPassword}
            error={checked && isMissing ? t('account.passwordMissing') : undefined}
            autocomplete="current-password"
          />
        )}
        <AnyCodeField code={code} />
      </Form>
      {proof.dialog}
    </Dialog>
  );
}
