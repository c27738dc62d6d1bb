import { useState } from 'preact/hooks';
import { Field } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import type { Profile, ProfileCardProps } from './profile.js';

/** Changes the name. */
export function NameCard({ profile, onChanged }: ProfileCardProps) {
  const [name, setName] = useState(profile.name ?? '');
  const action = useAction(async () => {
    onChanged(await api.put<Profile>('users/me', { name: name.trim() === '' ? null : name }));
    announce(t('profile.nameSaved'));
  });
  return (
    <Card title={t('profile.name')}>
      <Form action={action} submit={t('common.save')}>
        <Field
          label={t('profile.name')}
          hint={t('profile.nameHint')}
          value={name}
          onValue={setName}
          maxLength={200}
          autocomplete="name"
        />
      </Form>
    </Card>
  );
}
