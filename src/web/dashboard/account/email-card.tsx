import { useState } from 'preact/hooks';
import { CheckMail } from '../../account/check-mail.js';
import { EmailField } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { Badge, Notice } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import type { Profile, ProfileCardProps } from './profile.js';
import { useProof } from './use-proof.js';

/** Shows the address, whether it is proved, and changes it. */
export function EmailCard({ profile, onChanged }: ProfileCardProps) {
  const { email, email_verified, pending_email, has_password, second_factor } = profile;
  const [next, setNext] = useState('');
  const [missing, setMissing] = useState(false);
  const proof = useProof(has_password, second_factor);
  const action = useAction(async () => {
    onChanged(await proof.guard(() => api.put<Profile>('users/me', { email: next })));
    announce(t('profile.emailMailed', { email: next.trim() }));
    setNext('');
  });
  const check = () => {
    setMissing(next.trim() === '');
    return next.trim() !== '';
  };
  return (
    <Card title={t('account.email')}>
      <div class="stack">
        <p>
          {email}{' '}
          <Badge tone={email_verified ? 'good' : 'warning'}>
            {t(email_verified ? 'profile.verified' : 'profile.unverified')}
          </Badge>
        </p>
        {!email_verified && <CheckMail email={email} lead={t('profile.unprovedLead')} />}
        {pending_email !== null && (
          <Notice>
            <p>{t('profile.pending', { email: pending_email })}</p>
          </Notice>
        )}
        <Form action={action} submit={t('profile.changeEmail')} kind="plain" check={check}>
          <EmailField
            label={t('profile.newEmail')}
            hint={t('profile.newEmailHint')}
            value={next}
            onValue={setNext}
            error={missing ? t('account.emailMissing') : undefined}
            autocomplete="email"
          />
        </Form>
      </div>
      {proof.dialog}
    </Card>
  );
}
