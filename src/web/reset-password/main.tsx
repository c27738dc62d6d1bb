import { useState } from 'preact/hooks';
import { fragment, opened } from '../account/fragment.js';
import { findPasswordProblem, NewPassword, PASSWORD_CODES, PasswordOwner } from '../account/new-password.js';
import { SignInForm } from '../account/sign-in-form.js';
import { SmallPage } from '../account/small-page.js';
import { useProblems } from '../account/use-fields.js';
import { sendOpenly } from '../foundation/api/api.js';
import { Form } from '../foundation/components/form.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { mount } from '../foundation/mount.js';
import { t } from '../foundation/text/text.js';

const FIELD_OF_CODE = {
  ...Object.fromEntries(PASSWORD_CODES.map((code) => [code, 'password' as const])),
  VALIDATION_FAILED: 'password',
} as const;

function AskForAnother() {
  return (
    <p class="ways">
      <a href="forgot-password">{t('account.askForAnother')}</a>
    </p>
  );
}

function NewPasswordPage({ token, email }: { readonly token: string; readonly email: string }) {
  const [password, setPassword] = useState('');
  const [done, setDone] = useState(false);
  const action = useAction(async () => {
    await sendOpenly('auth/reset-password', { token, new_password: password });
    setPassword('');
    setDone(true);
  });
  const problems = useProblems<'password'>(action.failure, FIELD_OF_CODE);
  if (done)
    return (
      <SmallPage title={t('account.passwordSet')} lead={t('account.passwordSetLead')} focus>
        <SignInForm email={email} focus={false} onSignedIn={() => location.assign('dashboard')} />
      </SmallPage>
    );
  if (action.failure?.code === 'INVALID_RESET_TOKEN')
    return (
      <SmallPage title={t('account.linkDead')} lead={t('account.linkDeadLead')} focus>
        <AskForAnother />
      </SmallPage>
    );
  return (
    <SmallPage title={t('account.resetTitle')} lead={email === '' ? undefined : t('account.resetFor', { email })}>
      <Form
        action={action}
        submit={t('account.setPassword')}
        check={() => problems.set({ password: findPasswordProblem(password) })}
        explained={Object.keys(FIELD_OF_CODE)}
        wide
        focus
      >
        <PasswordOwner email={email} />
        <NewPassword
          label={t('account.newPassword')}
          value={password}
          onValue={setPassword}
          error={problems.of('password')}
        />
      </Form>
    </SmallPage>
  );
}

function ResetPassword() {
  const token = fragment.value.get('token') ?? '';
  if (token === '')
    return (
      <SmallPage title={t('account.linkIncomplete')} lead={t('account.linkIncompleteLead')}>
        <AskForAnother />
      </SmallPage>
    );
  return <NewPasswordPage key={opened.value} token={token} email={fragment.value.get('email') ?? ''} />;
}

void mount(ResetPassword);
