import { useState } from 'preact/hooks';
import { findPasswordProblem, NewPassword, PASSWORD_CODES, PasswordOwner } from '../../account/new-password.js';
import { useProblems } from '../../account/use-fields.js';
import { Checkbox } from '../../foundation/components/choice.js';
import { PasswordField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import type { Profile } from './profile.js';
import { useProof } from './use-proof.js';

const FIELD_OF_CODE = {
  ...Object.fromEntries(PASSWORD_CODES.map((code) => [code, 'next' as const])),
  INVALID_CREDENTIALS: 'current',
} as const;

/** Changes the password, or sets the first one of somebody who signs in with a provider. */
export function PasswordCard({ profile, onChanged }: { readonly profile: Profile; readonly onChanged: () => void }) {
  const { has_password, second_factor, email } = profile;
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [revoke, setRevoke] = useState(false);
  const proof = useProof(has_password, second_factor);
  const action = useAction(async () => {
    const body = { new_password: next, revoke_api_keys: revoke, ...(has_password && { current_password: current }) };
    await proof.guard(() => api.post('users/me/password', body));
    announce(t('profile.passwordChanged'));
    setCurrent('');
    setNext('');
    onChanged();
  });
  const problems = useProblems<'current' | 'next'>(action.failure, FIELD_OF_CODE);
  const check = () =>
    problems.set({
      current: has_password && current === '' ? t('account.passwordMissing') : undefined,
      next: findPasswordProblem(next),
    });
  return (
    <Card title={t('account.password')} lead={has_password ? t('profile.passwordLead') : t('profile.passwordFirst')}>
      <Form
        action={action}
        submit={t(has_password ? 'profile.changePassword' : 'account.setPassword')}
        kind="plain"
        check={check}
        explained={Object.keys(FIELD_OF_CODE)}
      >
        <PasswordOwner email={email} />
        {has_password && (
          <PasswordField
            label={t('profile.currentPassword')}
            value={current}
            onValue={setCurrent}
            error={problems.of('current')}
            autocomplete="current-password"
          />
        )}
        <NewPassword label={t('account.newPassword')} value={next} onValue={setNext} error={problems.of('next')} />
        <Checkbox label={t('profile.revokeKeys')} checked={revoke} onChecked={setRevoke} />
      </Form>
      {proof.dialog}
    </Card>
  );
}
