import { useState } from 'preact/hooks';
import { PasswordField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { api, begin, me, type SignedIn } from '../session.js';

const SHORTEST = 8;

/** Changes the admin's own password, which ends all other sessions. */
export function PasswordCard() {
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [checked, setChecked] = useState(false);
  const action = useAction(async () => {
    begin(await api.post<SignedIn>('admin/password', { current_password: current, new_password: next }));
    setCurrent('');
    setNext('');
    setChecked(false);
    announce(t('admin.account.passwordChanged'));
  });
  return (
    <Card title={t('admin.account.password')} lead={t('admin.account.passwordLead')}>
      <Form
        action={action}
        submit={t('admin.account.changePassword')}
        check={() => {
          setChecked(true);
          return current !== '' && next.length >= SHORTEST;
        }}
      >
        {/* Password managers learn whose password it is. */}
        <div class="hidden" aria-hidden="true">
          <input type="text" autocomplete="username" value={me.value?.username ?? ''} readOnly tabIndex={-1} />
        </div>
        <PasswordField
          label={t('admin.account.currentPassword')}
          value={current}
          onValue={setCurrent}
          error={checked && current === '' ? t('admin.missing') : undefined}
          autocomplete="current-password"
        />
        <PasswordField
          label={t('admin.admins.newPassword')}
          hint={t('admin.admins.passwordHint')}
          value={next}
          onValue={setNext}
          error={checked && next.length < SHORTEST ? t('admin.account.passwordShort') : undefined}
          autocomplete="new-password"
        />
      </Form>
    </Card>
  );
}
