import { useState } from 'preact/hooks';
import { MailsLogged } from '../account/mails-logged.js';
import { SmallPage } from '../account/small-page.js';
import { ToSignIn } from '../account/to-sign-in.js';
import { useProblems } from '../account/use-fields.js';
import { sendOpenly } from '../foundation/api/api.js';
import { EmailField } from '../foundation/components/field.js';
import { Form } from '../foundation/components/form.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { t } from '../foundation/text/text.js';

function ForgotPassword() {
  const [email, setEmail] = useState('');
  const [sent, setSent] = useState(false);
  const action = useAction(async () => {
    await sendOpenly('auth/forgot-password', { email });
    setSent(true);
  });
  const problems = useProblems<'email'>(action.failure, { VALIDATION_FAILED: 'email' });
  const check = () => problems.set({ email: email.trim() === '' ? t('account.emailMissing') : undefined });
  if (sent)
    return (
      <SmallPage title={t('account.resetMailed')} lead={t('account.resetMailedLead', { email: email.trim() })} focus>
        <MailsLogged />
        <ToSignIn />
      </SmallPage>
    );
  return (
    <SmallPage title={t('account.forgotTitle')} lead={t('account.forgotLead')}>
      <Form action={action} submit={t('account.mailLink')} check={check} explained={['VALIDATION_FAILED']} wide focus>
        <EmailField label={t('account.email')} value={email} onValue={setEmail} error={problems.of('email')} required />
      </Form>
      <ToSignIn />
    </SmallPage>
  );
}

void mount(ForgotPassword);
