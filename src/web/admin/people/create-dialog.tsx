import { useState } from 'preact/hooks';
import { FormDialog } from '../../foundation/components/dialog.js';
import { EmailField, Field } from '../../foundation/components/field.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { go } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { api } from '../session.js';
import type { Capability } from '../settings/configuration.js';
import { Off } from '../settings/off-notice.js';

/** Makes an account without a password; its owner chooses one by a mailed link. */
export function CreateDialog({
  mailOff,
  onClose,
}: {
  /** Mail, where it is off: then no link reaches the owner. */
  readonly mailOff: Capability | undefined;
  readonly onClose: () => void;
}) {
  const [email, setEmail] = useState('');
  const [name, setName] = useState('');
  const [checked, setChecked] = useState(false);
  const isValid = email.includes('@');
  const action = useAction(async () => {
    const body = { email: email.trim(), ...(name.trim() !== '' && { name: name.trim() }) };
    const { id } = await api.post<{ id: string }>('admin/users', body);
    announce(t('admin.people.said.create', { email: email.trim() }));
    onClose();
    go(`/people/${id}`);
  });
  return (
    <FormDialog
      title={t('admin.people.create')}
      onClose={onClose}
      action={action}
      submit={t('admin.people.createSubmit')}
      check={() => {
        setChecked(true);
        return isValid;
      }}
    >
      <p class="quiet">{t('admin.people.createLead')}</p>
      <Off capability={mailOff} />
      <EmailField
        label={t('admin.people.email')}
        value={email}
        onValue={setEmail}
        error={checked && !isValid ? t('admin.people.emailWrong') : undefined}
        autocomplete="off"
      />
      <Field label={t('admin.people.name')} value={name} onValue={setName} autocomplete="off" maxLength={200} />
    </FormDialog>
  );
}
